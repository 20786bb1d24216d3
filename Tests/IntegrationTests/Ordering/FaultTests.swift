import Foundation
import Linux
import Testing
import VDriveTestKit

extension Integration {
    /// The fault registry in a daemon: what arms it, and steps that fail.
    @Suite(.serialized)
    struct FaultTests {
        @Test(.timeLimit(.minutes(1)))
        func `a daemon that is to fail at no known point ends with status 2 and a sentence`() async throws {
            let folder = try makeScratchFolder("faults")
            defer { try? Directory.removeTree(folder.path) }
            let daemon = try DaemonUnderTest.program("vdrived")
            let answer = try await runProgram(
                ["env", "VDRIVE_FAULTS=put.sideways=crash", daemon, "--socket", "\(folder.path)/socket"]
                    + ["--state-dir", "\(folder.path)/state", "--run-dir", "\(folder.path)/run"],
                timeoutSeconds: 20
            )
            #expect(answer.status == 2, "\(answer)")
            let sentence = "vdrived: VDRIVE_FAULTS: There is no fault point and no ordering rule «put.sideways».\n"
            #expect(answer.errors.hasSuffix(sentence), "\(answer)")
        }

        @Test(.timeLimit(.minutes(1)))
        func `armed faults are said in the log, and a failing put is repeated`() async throws {
            let faults = ["VDRIVE_FAULTS": "put.before-chunk=fail*1,commit.before-object=delay:1"]
            try await DaemonUnderTest.use("faults", environment: faults) { daemon in
                #expect(daemon.log.contains("faults are armed"))
                let remote = try await TestRemote.make(.file, for: daemon)
                let image = try await daemon.createOrderingDisk(on: remote)
                let contents = PageContents(0..<4, seed: 20)
                try await contents.write(to: image)
                let first = try await daemon.ctl(["sync", "disk"])
                #expect(first.errors.contains("An I/O error was injected at put.before-chunk."), "\(first)")
                try await daemon.mustCtl("sync", "disk")
                #expect(try await daemon.violations(of: contents, rebuiltFrom: remote) == [])
                try await daemon.mustCtl("detach", "disk")
            }
        }

        /// LMDB has forgotten the chunks by then, and some of them may be holes.
        @Test(.timeLimit(.minutes(1)), arguments: ["evict.after-forget", "evict.after-punch"])
        func `an eviction that cannot give the space back loses nothing`(point: String) async throws {
            try await DaemonUnderTest.use("faults", environment: ["VDRIVE_FAULTS": "\(point)=fail"]) { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let image = try await daemon.createOrderingDisk(on: remote)
                let contents = PageContents(0..<200, seed: 21)
                try await contents.write(to: image)
                try await daemon.mustCtl("cache", "evict", "disk", "--wait")
                #expect(try await contents.violations(in: image, "after the eviction") == [])
                try await daemon.terminate()
                #expect(try await daemon.localStateComplaints() == [])
            }
        }
    }
}
