import Foundation
import Testing
import VDriveClient
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// Events and jobs of a real daemon: what `vdrivectl` shows of them, and what becomes of jobs whose clients go, or
    /// whose remote does.
    @Suite(.serialized)
    struct ControlJobTests {
        private static let escape: Character = "\u{1B}"

        private func withDisk(
            _ purpose: String,
            link: [String] = [],
            _ body: (DaemonUnderTest, LinkProxy, String) async throws -> Void
        ) async throws {
            let server = try await ServerFarm.shared.server(.apache)
            let proxy = try await LinkProxy(to: server.port, options: link)
            defer { proxy.stop() }
            try await DaemonUnderTest.use(purpose) { daemon in
                let remote = try await TestRemote.make(.apache, for: daemon, port: proxy.port)
                // Nothing goes up before somebody asks for it.
                try await daemon.create(
                    "disk",
                    size: "256M",
                    on: remote,
                    "--chunk-size",
                    "256K",
                    "--upload-interval",
                    "3600"
                )
                try await body(daemon, proxy, try await daemon.attachImage("disk"))
            }
        }

        private func write(_ mebibytes: Int, to image: String) async throws {
            try await mustRun([
                "dd", "if=/dev/urandom", "of=\(image)", "bs=1M", "count=\(mebibytes)", "conv=notrunc,fsync",
            ])
        }

        private func job(_ daemon: DaemonUnderTest, _ id: String) async throws -> Job {
            let text = try await daemon.mustCtl("call", "jobs.watch", #"{"id":"\#(id)"}"#)
            return try JSONValue(parsing: text.utf8).decode()
        }

        /// Waits until a job has come to a phase.
        private func wait(_ daemon: DaemonUnderTest, _ id: String, until phase: String) async throws {
            for _ in 0..<200 {
                if try await job(daemon, id).progress.phase == phase { return }
                try await Task.sleep(for: .milliseconds(50))
            }
            Issue.record("\(id) is not \(phase)")
        }

        /// All events that the daemon still knows, up to one of a type.
        private func events(_ daemon: DaemonUnderTest, until last: (Event) -> Bool) async throws -> [Event] {
            var events: [Event] = []
            var connection = try ControlConnection(path: daemon.socket, timeoutSeconds: 20)
            _ = try connection.call(EventsSubscribe.self, EventsSubscribe.Parameters(since: 0))
            while true {
                let event: EventNotification = try connection.nextNotification().params.decode()
                events.append(event.event)
                if last(event.event) { return events }
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `the life of a disk is told, each call of it a job; a restart is another run`() async throws {
            try await withDisk("events-life") { daemon, _, image in
                try await write(4, to: image)
                try await daemon.mustCtl("sync", "disk")
                try await daemon.mustCtl("cache", "evict", "disk")
                try await daemon.mustCtl("detach", "disk")
                let told = try await events(daemon) { event in
                    if case .jobEnded(let job)? = event.payload { job.kind == "disk.detach" } else { false }
                }
                let document = try ProtocolDocument()
                for event in told {
                    var params = try JSONValue(encoding: event)
                    if case .object(var fields) = params {
                        fields["subscription"] = .integer(1)
                        params = .object(fields)
                    }
                    #expect(try document.complaints(notification: params, of: "events.event") == [])
                }
                #expect(told.allSatisfy { $0.run == told[0].run && $0.disk == "disk" })
                #expect(zip(told, told.dropFirst()).allSatisfy { $0.sequence < $1.sequence })
                let states = told.compactMap { event -> DiskState? in
                    if case .diskState(let change)? = event.payload { change.state } else { nil }
                }
                #expect(states == [.attaching, .attached, .detaching, .detached])
                let kinds = ["disk.create", "disk.attach", "disk.sync", "cache.evict", "disk.detach"]
                let started = told.compactMap { event -> String? in
                    if case .jobStarted(let job)? = event.payload { job.kind } else { nil }
                }
                let ended = told.compactMap { event -> Job? in
                    if case .jobEnded(let job)? = event.payload { job } else { nil }
                }
                #expect(started == kinds && ended.map(\.kind) == kinds)
                #expect(ended.allSatisfy { $0.state == .succeeded && $0.result != nil && $0.error == nil })
                #expect(ended[2].progress.done == 4 << 20 && ended[2].progress.total == 4 << 20, "\(ended[2])")
                let commits = told.compactMap { event -> EventPayload.Commit? in
                    if case .uploadCommit(let commit)? = event.payload { commit } else { nil }
                }
                #expect(commits.map(\.chunks) == [16] && commits.map(\.bytes) == [4 << 20])
                #expect(told.first { $0.type == "disk.added" } != nil)

                let run = told[0].run
                try await daemon.mustCtl("attach", "disk", "--fs", "none")
                try await daemon.crash()
                try await daemon.start()
                _ = try await daemon.waitUntilAttached("disk")
                let again = try await events(daemon) { $0.type == "job.ended" }
                #expect(again[0].run != run && again[0].sequence == 1)
                #expect(again.first?.type == "job.started", "the daemon attaches by itself, and tells it")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a sync goes on when its client is killed, and ends when the remote is back`() async throws {
            try await withDisk("job-killed") { daemon, proxy, image in
                try await write(8, to: image)
                try proxy.tell("refuse")
                let killed = try await runProgram([
                    "env", "--default-signal", "timeout", "-s", "KILL", "2", DaemonUnderTest.program("vdrivectl"),
                    "--socket", daemon.socket, "sync", "disk", "--json",
                ])
                #expect(!killed.isSuccess && killed.output.isEmpty, "\(killed)")
                let list = try await daemon.mustCtl("jobs", "list")
                let line = try #require(list.split(separator: "\n").last)
                #expect(line.contains(/disk\.sync +disk +running +0 %/), "\(list)")
                let id = String(line.prefix { $0 != " " })
                let watching = Task { try await daemon.ctl(["jobs", "watch", id]) }
                try proxy.tell("pass")
                let watched = try await watching.value
                #expect(watched.isSuccess && watched.output == "disk.sync disk: succeeded\n", "\(watched)")
                #expect(try await job(daemon, id).progress.done == 8 << 20)
                let remote = try await events(daemon) { event in
                    if case .jobEnded(let job)? = event.payload { job.id == id } else { false }
                }
                let changes = remote.compactMap { event -> String? in
                    if case .remoteState(let change)? = event.payload { change.state } else { nil }
                }
                #expect(changes == ["degraded", "offline", "degraded"])
                let json = try await daemon.mustCtl("jobs", "watch", id, "--json")
                #expect(try JSONValue(parsing: json.utf8)["state"] == .string("succeeded"), "\(json)")
            }
        }

        @Test(.timeLimit(.minutes(3)))
        func `what waits for a remote in a black hole is cancelled, and the disk is as good as before`() async throws {
            try await withDisk("job-cancelled") { daemon, proxy, image in
                try await write(8, to: image)
                try proxy.tell("blackhole")
                for command in [["sync", "disk"], ["cache", "evict", "disk", "--wait"]] {
                    let id = try await daemon.mustCtl(command + ["--background"])
                        .trimmingCharacters(in: .whitespacesAndNewlines)
                    try await wait(daemon, id, until: "uploading what is not on the remote yet")
                    let took = try await seconds {
                        #expect(try await daemon.mustCtl("jobs", "cancel", id) == "asked \(id) to end\n")
                        let watched = try await daemon.ctl(["jobs", "watch", id])
                        #expect(watched.status == 4 && watched.errors.contains("was cancelled"), "\(watched)")
                    }
                    say("\(command[0]) in a black hole is cancelled after \(text(took, digits: 2)) s")
                    #expect(took < 5)
                    #expect(try await job(daemon, id).state == .cancelled)
                    let again = try await daemon.ctl(["jobs", "cancel", id])
                    #expect(again.status == 4 && again.errors.contains("has ended already"), "\(again)")
                }
                let dirty = try await daemon.status("disk")
                #expect(dirty.state == .attached && dirty.cache.dirtyBytes == 8 << 20, "\(dirty)")
                try proxy.tell("pass")
                try await daemon.mustCtl("sync", "disk")
                #expect(try await daemon.status("disk").cache.dirtyBytes == 0)
                try await daemon.mustCtl("detach", "disk")

                try proxy.tell("blackhole")
                let id = try await daemon.mustCtl("attach", "disk", "--fs", "none", "--background")
                    .trimmingCharacters(in: .whitespacesAndNewlines)
                try await wait(daemon, id, until: "opening the disk on its remote")
                try await daemon.mustCtl("jobs", "cancel", id)
                #expect(try await daemon.ctl(["jobs", "watch", id]).status == 4)
                let status = try await daemon.status("disk")
                #expect(status.state == .detached && status.lastError == nil, "\(status)")
                try proxy.tell("pass")
                _ = try await daemon.attachImage("disk")
                try await daemon.mustCtl("detach", "disk")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a destroy is cancelled half-way, and the same call goes on with it`() async throws {
            try await withDisk("job-destroy", link: ["--rtt-ms", "150"]) { daemon, _, image in
                try await write(32, to: image)
                try await daemon.mustCtl("sync", "disk")
                try await daemon.mustCtl("detach", "disk")
                let destroy = ["destroy", "disk", "--remote", "--yes"]
                let id = try await daemon.mustCtl(destroy + ["--background"])
                    .trimmingCharacters(in: .whitespacesAndNewlines)
                try await wait(daemon, id, until: "deleting the disk on its remote")
                try await daemon.mustCtl("jobs", "cancel", id)
                let watched = try await daemon.ctl(["jobs", "watch", id])
                #expect(watched.status == 4 && watched.errors.contains("was cancelled"), "\(watched)")
                #expect(try await job(daemon, id).state == .cancelled)
                #expect(try await daemon.status("disk").state == .detached)
                let rest = try await daemon.mustCtl(destroy)
                #expect(rest.contains(/^destroyed disk, \d+ objects deleted on its remote/), "\(rest)")
                #expect(try await daemon.ctl(["status", "disk"]).status == 1)
                let told = try await events(daemon) { $0.type == "disk.removed" }
                #expect(told.last?.disk == "disk")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `events shows a line each, filters, ends well with SIGINT, and with 3 when the daemon goes`() async throws
        {
            try await DaemonUnderTest.use("events-command") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("first", size: "16M", on: remote, "--chunk-size", "64K")
                let all = try await daemon.eventsNow("--since", "0")
                #expect(all.isSuccess && all.errors.isEmpty, "\(all)")
                #expect(
                    all.output.contains(/(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z \d+ disk\.added first detached$/),
                    "\(all)"
                )
                #expect(all.output.contains(/job\.ended first \S+ disk\.create succeeded\n/), "\(all)")
                let one = try await daemon.eventsNow("--since", "0", "--type", "disk.added", "--type", "disk.state")
                #expect(one.output.split(separator: "\n").count == 1, "\(one)")
                #expect(try await daemon.eventsNow("--since", "0", "--disk", "other").output.isEmpty)
                let json = try await daemon.eventsNow("--since", "0", "--type", "disk.added", "--json")
                #expect(try JSONValue(parsing: json.output.utf8)["data"]?["state"] == .string("detached"), "\(json)")
                for (words, status, error) in [
                    (["--type", "disk.exploded"], 2, "disk.exploded"), (["--disk", "a b"], 2, "name"),
                ] {
                    let answer = try await daemon.ctl(["events"] + words)
                    #expect(answer.status == status && answer.errors.contains(error), "\(answer)")
                }
                async let last = daemon.ctl(["events"])
                try await Task.sleep(for: .seconds(1))
                try await daemon.terminate()
                let gone = try await last
                #expect(gone.status == 3 && gone.output.contains(" daemon.stopping -\n"), "\(gone)")
            }
        }

        @Test(.timeLimit(.minutes(3)))
        func `a long command shows a bar on a terminal, lines elsewhere, and nothing with JSON`() async throws {
            try await withDisk("progress", link: ["--mbit", "40"]) { daemon, _, image in
                let program = try DaemonUnderTest.program("vdrivectl")
                func onTerminal(_ environment: String...) async throws -> String {
                    try await write(20, to: image)
                    return try await mustRun(
                        ["env", "--default-signal", "-u", "NO_COLOR", "TERM=xterm"] + environment
                            + ["script", "-qefc", "\(program) sync disk --socket \(daemon.socket)", "/dev/null"]
                    )
                }
                let bar = try await onTerminal()
                #expect(
                    bar.contains(/\rsync disk  \[\x1B\[32m#*\x1B\[0m-+\]  \d+ %  [\d.]+ MiB of 20\.0 MiB/),
                    "\(bar)"
                )
                #expect(bar.contains("MiB/s  ETA 0:0"), "\(bar)")
                #expect(bar.hasSuffix("\r\u{1B}[Ksynced disk, epoch 2\r\n"), "\(bar)")
                let plain = try await onTerminal("NO_COLOR=1")
                #expect(plain.contains(/\rsync disk  \[#+-+\]  \d+ %/) && !plain.contains("\u{1B}[3"), "\(plain)")
                let dumb = try await onTerminal("TERM=dumb")
                #expect(dumb.contains(/sync disk: \d+ %/) && !dumb.contains(Self.escape), "\(dumb)")

                try await write(20, to: image)
                let piped = try await daemon.ctl(["sync", "disk"])
                #expect(piped.isSuccess && piped.output == "synced disk, epoch 5\n", "\(piped)")
                #expect(piped.errors.wholeMatch(of: /sync disk: \d+ %  .* of 20\.0 MiB .*\n/) != nil, "\(piped)")
                try await write(20, to: image)
                let json = try await daemon.ctl(["sync", "disk", "--json"])
                #expect(json.isSuccess && json.errors.isEmpty, "\(json)")
                #expect(try JSONValue(parsing: json.output.utf8)["epoch"] == .integer(6))
                // Quick ones say nothing but their result.
                let quick = try await daemon.ctl(["sync", "disk"])
                #expect(quick.isSuccess && quick.errors.isEmpty, "\(quick)")
                let away = try await runProgram([program, "jobs", "list", "--socket", "\(daemon.folder)/none"])
                #expect(away.status == 3, "\(away)")
                let unknown = try await daemon.ctl(["jobs", "watch", "nobody"])
                #expect(unknown.status == 1 && unknown.errors.contains("nobody"), "\(unknown)")
            }
        }
    }
}
