import Testing

@Suite("The floors")
struct FloorTests {
    let manifest: Manifest

    init() throws {
        manifest = Manifest(try #require(ProjectFiles.all.first { $0.path == "Package.swift" }).text)
    }

    /// What comes with the toolchain.
    private let toolchain: Set<String> = [
        "Swift", "Glibc", "Synchronization", "Foundation", "FoundationEssentials", "Testing", "PackageDescription",
    ]

    @Test("the manifest was understood")
    func manifestWasUnderstood() throws {
        let control = try #require(manifest.rooms.first { $0.name == "VDriveControl" })
        #expect(control.folder == "Control")
        #expect(control.uses.isSuperset(of: ["VDriveProtocol", "VDriveEngine", "Linux"]))
        #expect(control.products.isSuperset(of: ["NIOCore", "Logging", "TOMLKit"]))
        #expect(manifest.rooms.contains { $0.name == "CFuse" && $0.uses.isEmpty })
        #expect(manifest.trials.contains { $0.name == "TidyTests" })
    }

    @Test("a room imports what the manifest gives it, and nothing else")
    func importsAreDeclared() {
        for room in manifest.rooms {
            for file in files(of: room) {
                for name in file.code?.imports() ?? [] where !isAllowed(name, in: room) {
                    Issue.record("\(file.path): \(room.name) may not import \(name)")
                }
            }
        }
    }

    @Test("what the manifest gives a room is used there")
    func declarationsAreUsed() {
        for room in manifest.rooms {
            let imported = Set(files(of: room).flatMap { $0.code?.imports() ?? [] })
            guard !imported.isEmpty else { continue }
            #expect(room.uses.subtracting(imported).isEmpty, "\(room.name) imports no such module")
        }
    }

    @Test("every source file belongs to a room, and every room has files")
    func nothingLiesAbout() {
        let rooms = manifest.rooms.map { "\($0.path)/" }
        let strays = ProjectFiles.sources.filter { file in !rooms.contains { file.path.hasPrefix($0) } }
        #expect(strays.map(\.path) == [])
        for room in manifest.rooms { #expect(!files(of: room).isEmpty, "\(room.path) is empty") }
        let trials = manifest.trials.map { "Tests/\($0.name)/" } + ["Tests/Support/"]
        let strayTests = ProjectFiles.swift.filter { file in
            file.path.hasPrefix("Tests/") && !trials.contains { file.path.hasPrefix($0) }
        }
        #expect(strayTests.map(\.path) == [])
    }

    private func files(of room: Manifest.Room) -> [ProjectFile] {
        ProjectFiles.sources.filter { $0.path.hasPrefix("\(room.path)/") }
    }

    private func isAllowed(_ name: String, in room: Manifest.Room) -> Bool {
        // The ground under the disk stays free of Foundation: its calls allocate, and block where nobody sees it.
        if name == "Foundation", ["Platform", "Core", "Mount"].contains(room.folder) { return false }
        return toolchain.contains(name) || room.uses.contains(name) || room.products.contains(name)
    }
}
