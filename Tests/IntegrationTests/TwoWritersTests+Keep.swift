import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

/// What a fenced disk has is kept as a disk of its own.
extension Integration.TwoWritersTests {
    @Test(.timeLimit(.minutes(2)), arguments: [TestRemote.Kind.file, .apache])
    func `who is taken over may keep its data as a new disk`(kind: TestRemote.Kind) async throws {
        try await withTwo(kind, "keep") { one, two, remote in
            let (ours, theirs) = try await diverge(one, two, remote)
            try await two.mustCtl("detach", "disk")
            // Its place on a server is beside that of all other tests.
            let new = "kept-\(UInt32.random(in: .min ... .max))"
            let keep = ["attach", "disk", "--fs", "none", "--keep-local-as"]
            try await failToKeep(one, new, beside: remote)
            try await cancelKeeping(one, new, beside: remote)
            for (name, sentence) in [("disk", "exists here already"), (remote.folder.lastPathComponent, "exists")] {
                let refused = try await one.ctl(keep + [name])
                #expect(refused.status == 4 && refused.errors.contains(sentence), "\(refused)")
            }
            #expect(try await one.ctl(keep + [new, "--discard-local"]).status == 2)
            let objects = try hashes(remote)
            try await one.mustCtl("attach", "disk", "--fs", "none", "--keep-local-as", new)
            try await theirs.check(try #require(try await one.status("disk").image), "the disk")
            let image = try await one.attachImage(new)
            try await ours.check(image, "what was kept")
            let kept = try await one.status(new)
            let disk = try await one.status("disk")
            #expect(kept.sizeBytes == disk.sizeBytes && kept.chunkBytes == disk.chunkBytes)
            #expect(kept.uuid != disk.uuid && kept.cache.limitBytes == disk.cache.limitBytes)
            #expect(kept.durability == disk.durability && kept.remote.url.hasSuffix("/\(new)"))
            try expectUnharmed(objects, remote)
            for name in ["disk", new] { try await one.mustCtl("detach", name) }
            // It is a disk like any other: whole on its remote.
            try await two.mustCtl(["import", new, "--remote", kept.remote.url] + remote.credentialArguments)
            let imageOfTwo = try await two.attachImage(new)
            try await ours.check(imageOfTwo, "what was kept, from the remote alone")
            try await two.mustCtl("detach", new)
        }
    }

    /// A copy that is cancelled loses nothing, and leaves nothing of the new disk.
    private func cancelKeeping(_ daemon: DaemonUnderTest, _ new: String, beside remote: TestRemote) async throws {
        let place = remote.folder.deletingLastPathComponent().appendingPathComponent(new)
        try await daemon.terminate()
        try await daemon.start(environment: ["VDRIVE_FAULTS": "put.before-chunk=delay:1000"])
        let keep = ["attach", "disk", "--fs", "none", "--keep-local-as", new, "--background"]
        let id = try await daemon.mustCtl(keep).trimmingCharacters(in: .whitespacesAndNewlines)
        while try filesBelow(place).keys.allSatisfy({ !$0.hasPrefix("blocks/") }) {
            try await Task.sleep(for: .milliseconds(50))
        }
        try await daemon.mustCtl("jobs", "cancel", id)
        let watched = try await daemon.ctl(["jobs", "watch", id])
        #expect(watched.status == 4 && watched.errors.contains("was cancelled"), "\(watched)")
        #expect(try filesBelow(place).isEmpty)
        #expect(try await daemon.status("disk").state == .detached)
        #expect(try await daemon.ctl(["status", new]).status == 1)
        try await daemon.terminate()
        try await daemon.start()
    }

    /// A failure in the middle, or the daemon's end, loses nothing, and leaves nothing of the new disk.
    private func failToKeep(_ daemon: DaemonUnderTest, _ new: String, beside remote: TestRemote) async throws {
        let place = remote.folder.deletingLastPathComponent().appendingPathComponent(new)
        let keep = ["attach", "disk", "--fs", "none", "--keep-local-as", new]
        for fault in ["put.before-chunk=fail@3", "put.before-chunk=delay:1000"] {
            try await daemon.terminate()
            try await daemon.start(environment: ["VDRIVE_FAULTS": fault])
            let keeping = Task { try await daemon.ctl(keep) }
            if fault.contains("delay") {
                while try filesBelow(place).keys.allSatisfy({ !$0.hasPrefix("blocks/") }) {
                    try await Task.sleep(for: .milliseconds(50))
                }
            } else {
                let failed = try await keeping.value
                #expect(failed.status == 1 && failed.errors.contains("could not be kept"), "\(failed)")
                #expect(try await daemon.status("disk").state == .failed)
            }
            try await daemon.terminate()
            #expect(try await keeping.value.isSuccess == false)
            let left = try filesBelow(place)
            #expect(left.isEmpty, "\(left)")
            try await daemon.start()
            #expect(try await daemon.ctl(["status", new]).status == 1)
        }
    }
}
