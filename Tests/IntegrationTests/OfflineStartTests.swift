import Foundation
import Linux
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// A daemon that starts while its remote is away: what is cached is served, and the rest catches up by itself.
    @Suite(.serialized)
    struct OfflineStartTests {
        @Test(.timeLimit(.minutes(3)))
        func `ext4 comes back without its remote, is written, and catches up when the remote is back`() async throws {
            try await DaemonUnderTest.use("offline") { daemon in
                let server = try await ServerFarm.shared.server(.apache)
                let proxy = try await LinkProxy(to: server.port)
                defer { proxy.stop() }
                let remote = try await TestRemote.make(.apache, for: daemon, port: proxy.port)
                let mount = daemon.mountPoint("disk")
                try await daemon.create("disk", size: "4G", on: remote, "--upload-interval", "0.5")
                try await daemon.mustCtl("attach", "disk", "--mount", mount)
                try await mustRun(["sh", "-c", "seq 1 200000 >\"$0/before\"", mount])
                try await daemon.mustCtl("sync", "disk")
                let termBefore = try await daemon.status("disk").term
                // Flushed here, and most likely not on the remote yet.
                try await mustRun(["sh", "-c", "seq 1 1000 >\"$0/flushed\"; sync \"$0/flushed\"", mount])

                try proxy.tell("refuse")
                try await daemon.crash()
                try await daemon.start()
                let back = try await daemon.waitUntilAttached("disk", seconds: 60)
                #expect(back.mountPoint == mount && back.remote.state == "offline", "\(back)")
                #expect(back.lastError != nil)
                #expect(try await daemon.mustCtl("status").contains("(offline)"), "the list says so, too")
                for (name, count) in [("before", 200_000), ("flushed", 1000)] {
                    let same = try await runProgram(["sh", "-c", "seq 1 \(count) | cmp - \"$0/\(name)\"", mount])
                    #expect(same.isSuccess, "\(same)")
                }
                try await mustRun(["sh", "-c", "seq 1 5000 >\"$0/meanwhile\"; sync \"$0/meanwhile\"", mount])
                // And once more: nothing of what was done offline hangs on this one process.
                try await daemon.crash()
                try await daemon.start()
                _ = try await daemon.waitUntilAttached("disk", seconds: 60)
                #expect(try await daemon.status("disk").term == termBefore)

                try proxy.tell("pass")
                let waited = try await seconds {
                    while try await daemon.status("disk").term == termBefore {
                        try await Task.sleep(for: .milliseconds(200))
                    }
                }
                say("a remote that is back is noticed after \(text(waited)) s by a disk that started without it")
                try await daemon.mustCtl("sync", "disk")
                #expect(try await daemon.status("disk").lastError == nil)
                #expect(try await !daemon.mustCtl("status").contains("(offline)"))
                try await daemon.mustCtl("detach", "disk")

                try await daemon.forgetEverything()
                try await daemon.importDisk("disk", from: remote)
                try await daemon.mustCtl("attach", "disk", "--mount", mount)
                for (name, count) in [("before", 200_000), ("flushed", 1000), ("meanwhile", 5000)] {
                    let same = try await runProgram(["sh", "-c", "seq 1 \(count) | cmp - \"$0/\(name)\"", mount])
                    #expect(same.isSuccess, "\(same)")
                }
                try await daemon.mustCtl("detach", "disk")
            }
        }
    }
}
