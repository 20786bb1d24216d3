import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// A real tree of files goes to a remote and comes back from it alone.
    @Suite(.serialized)
    struct RealTreeTests {
        @Test(.timeLimit(.minutes(6)), arguments: [TestRemote.Kind.file, .apache, .nginx])
        func `a real tree comes back whole from the remote alone`(kind: TestRemote.Kind) async throws {
            try await DaemonUnderTest.use("tree") { daemon in
                let tree = try await RealTree.choose(in: daemon.folder)
                let remote = try await TestRemote.make(kind, for: daemon)
                let mount = daemon.mountPoint("tree")
                try await daemon.create("tree", size: "8G", on: remote, "--cache-size", "1G")
                try await daemon.mustCtl("attach", "tree", "--mount", mount)
                let copying = try await seconds { try await tree.copy(to: mount) }
                let syncing = try await seconds { try await daemon.mustCtl("sync", "tree", timeoutSeconds: 240) }
                let dirty = try await daemon.status("tree").cache.dirtyBytes
                try await daemon.mustCtl("detach", "tree")

                try await daemon.forgetEverything()
                try await daemon.importDisk("again", from: remote, "--cache-size", "1G")
                try await daemon.mustCtl("attach", "again", "--mount", mount)
                let reading = try await seconds { try await tree.check(at: mount) }
                try await daemon.mustCtl("detach", "again")

                let image = try await daemon.attachImage("again")
                let check = try await runProgram(["e2fsck", "-fn", image])
                #expect(check.isSuccess, "\(check)")
                try await daemon.mustCtl("detach", "again")
                #expect(dirty == 0)
                let bytes = try remote.objects().values.reduce(0, +)
                say(
                    "tree of \(tree.count) files, \(mebibytes(tree.bytes)) MiB on \(kind.rawValue): "
                        + "copy \(text(copying)) s, sync \(text(syncing)) s, cold check \(text(reading)) s, "
                        + "remote \(mebibytes(bytes)) MiB"
                )
            }
        }
    }
}

/// A part of a real tree of this machine, the same at every run.
private struct RealTree {
    static let countMin = 10_000
    private static let countMax = 12_000
    private static let bytesMax = 250 << 20

    let root: String
    /// Paths of the files, ended by zero bytes, as `tar` and `xargs` read them.
    let list: String
    /// What `sha256sum -c` checks.
    let manifest: String
    let count: Int
    let bytes: Int

    /// Takes files evenly from the sorted paths, and leaves out the largest until the rest is small enough.
    static func choose(in folder: String) async throws -> RealTree {
        for root in ["/usr/share", "/usr/lib", "/usr"] {
            let found = try await blocking { try filesBelow(URL(fileURLWithPath: root)) }
            guard found.count >= countMin else { continue }
            let paths = found.keys.sorted()
            let stride = max(1, paths.count / countMax)
            var taken = paths.indices.filter { $0 % stride == 0 }.map { paths[$0] }
            taken = Array(taken.prefix(countMax))
            var bytes = taken.reduce(0) { $0 + found[$1]! }
            for path in taken.sorted(by: { found[$0]! > found[$1]! }) where bytes > bytesMax {
                taken.remove(at: taken.firstIndex(of: path)!)
                bytes -= found[path]!
            }
            let list = "\(folder)/tree.list"
            let manifest = "\(folder)/tree.sha256"
            try Data(taken.map { "\($0)\0" }.joined().utf8).write(to: URL(fileURLWithPath: list))
            try await mustRun(["sh", "-c", "cd \"$0\" && xargs -0 -a \"$1\" sha256sum >\"$2\"", root, list, manifest])
            try #require(taken.count >= countMin)
            return RealTree(root: root, list: list, manifest: manifest, count: taken.count, bytes: bytes)
        }
        throw DaemonUnderTest.Failure(description: "This machine has no tree of \(countMin) files.")
    }

    func copy(to mount: String) async throws {
        let script = "tar -C \"$0\" --null --no-recursion -T \"$1\" -cf - | tar -C \"$2\" -xf - --no-same-owner"
        try await mustRun(["bash", "-o", "pipefail", "-c", script, root, list, mount], timeoutSeconds: 200)
    }

    /// Compares the SHA-256 of every file, and that there is no other one.
    func check(at mount: String) async throws {
        let script = "cd \"$0\" && sha256sum --quiet --strict -c \"$1\""
        let answer = try await runProgram(["sh", "-c", script, mount, manifest], timeoutSeconds: 240)
        #expect(answer.isSuccess, "\(answer.output.suffix(2000)) \(answer.errors.suffix(500))")
        let there = try await blocking { try filesBelow(URL(fileURLWithPath: mount)) }
        #expect(there.count == count)
        #expect(there.values.reduce(0, +) == bytes)
    }
}
