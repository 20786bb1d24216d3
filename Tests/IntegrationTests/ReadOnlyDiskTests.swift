import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// `attach --read-only`: a filesystem that somebody else goes on writing.
    @Suite(.serialized)
    struct ReadOnlyDiskTests {
        @Test(.timeLimit(.minutes(3)), arguments: ["ext4", "xfs"])
        func `a reader mounts what the writer committed, changes nothing, and stays one over a restart`(
            filesystem: String
        ) async throws {
            try await DaemonUnderTest.use("ro-writer-\(filesystem)") { writer in
                try await DaemonUnderTest.use("ro-reader-\(filesystem)") { reader in
                    let remote = try await TestRemote.make(.file, for: writer)
                    let mount = writer.mountPoint("disk")
                    try await writer.create("disk", size: "2G", on: remote)
                    try await writer.mustCtl("attach", "disk", "--mount", mount, "--fs", filesystem)
                    try await mustRun(["sh", "-c", "seq 1 300000 >\"$0/numbers\"", mount])
                    try await commitFrozen(writer, mount)
                    let term = try await writer.status("disk").term

                    try await reader.importDisk("disk", from: remote)
                    let other = reader.mountPoint("disk")
                    try await reader.mustCtl("attach", "disk", "--mount", other, "--read-only")
                    let status = try await reader.status("disk")
                    #expect(status.readOnly && status.state == .attached && status.filesystem == filesystem)
                    let same = ["sh", "-c", "seq 1 300000 | cmp - \"$0/numbers\" && echo same", other]
                    #expect(try await mustRun(same) == "same\n")
                    let device = try #require(status.device)
                    for command in [
                        ["touch", other + "/new"], ["dd", "if=/dev/zero", "of=\(status.image!)", "bs=4096", "count=1"],
                        ["dd", "if=/dev/zero", "of=\(device)", "bs=4096", "count=1"],
                    ] {
                        #expect(try await !runProgram(command).isSuccess, "\(command)")
                    }
                    let refused = try await reader.ctl(["attach", "disk", "--takeover", "--mount", other])
                    #expect(refused.isSuccess, "attached the same way already: \(refused)")

                    // The writer is still the only one, and goes on.
                    try await mustRun(["sh", "-c", "seq 1 1000 >\"$0/more\"", mount])
                    try await commitFrozen(writer, mount)
                    #expect(try await writer.status("disk").term == term)
                    #expect(try await mustRun(same) == "same\n")

                    try await reader.terminate()
                    try await reader.start()
                    #expect(try await reader.waitUntilAttached("disk").readOnly)
                    #expect(try await mustRun(["sh", "-c", "wc -l <\"$0/more\"", other]) == "1000\n")
                    try await reader.mustCtl("detach", "disk")
                    #expect(try await reader.status("disk").readOnly == false)
                    try await writer.mustCtl("detach", "disk")
                }
            }
        }

        /// A reader does not replay the journal: a freeze leaves nothing in it.
        private func commitFrozen(_ writer: DaemonUnderTest, _ mount: String) async throws {
            try await mustRun(["fsfreeze", "--freeze", mount])
            do {
                try await writer.mustCtl("sync", "disk")
            } catch {
                Issue.record(error)
            }
            try await mustRun(["fsfreeze", "--unfreeze", mount])
        }
    }
}
