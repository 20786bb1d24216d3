import Testing

@Suite("The project keeps its own rules")
struct TidyTests {
    private func expectNone(_ complaints: [Complaint]) {
        for complaint in complaints { Issue.record("\(complaint)") }
    }

    @Test("there is something to look at")
    func findsFiles() {
        #expect(ProjectFiles.sources.count > 100)
        #expect(ProjectFiles.all.contains { $0.path == "Tests/TidyTests/TidyTests.swift" })
        #expect(ProjectFiles.swift.flatMap { $0.code?.functions() ?? [] }.count > 500)
    }

    @Test("a file has at most 600 lines")
    func fileLength() { expectNone(ProjectFiles.swift.flatMap(Checks.fileLength)) }

    @Test("a function has at most 70 lines")
    func functionLength() { expectNone(ProjectFiles.swift.flatMap(Checks.functionLength)) }

    @Test("a line has at most 120 columns")
    func lineLength() {
        // Tables and links of documents cannot be broken, and neither can the texts and the lines of the protocol.
        let isDocument = { (file: ProjectFile) in file.path.hasSuffix(".md") || file.path.contains("openrpc.json") }
        let files = ProjectFiles.all.filter { !isDocument($0) && !$0.path.hasPrefix("Protocol/transcripts/") }
        expectNone(files.flatMap(Checks.lineLength))
    }

    @Test("nothing is left unfinished")
    func unfinishedWork() { expectNone(ProjectFiles.all.flatMap(Checks.unfinishedWork)) }

    @Test("no path of one machine")
    func machinePaths() { expectNone(ProjectFiles.all.flatMap(Checks.machinePaths)) }

    @Test("what the compiler cannot prove has a SAFETY line")
    func unprovenSharing() { expectNone(ProjectFiles.swift.flatMap(Checks.unprovenSharing)) }

    @Test("formats, vocabulary and metadata read no clock and no dice")
    func hiddenInputs() {
        let rooms = ["VDriveFormat", "VDriveModel", "VDriveMetadata"].map { "Sources/Core/\($0)/" }
        let files = ProjectFiles.sources.filter { file in rooms.contains { file.path.hasPrefix($0) } }
        #expect(!files.isEmpty)
        expectNone(files.flatMap(Checks.hiddenInputs))
    }
}
