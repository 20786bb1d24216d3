import Foundation
import Glibc
import Linux
import Testing
import VDriveProtocol
import VDriveTestKit

/// A real `vdrive-exporter` on a loopback port, for as long as the object lives.
private final class ExporterUnderTest: Sendable {
    struct Page {
        let status: Int
        let type: String
        let body: String

        /// The value of a sample, by all that stands before it.
        func value(_ sample: String) -> String? {
            body.split(separator: "\n").first { $0.hasPrefix(sample + " ") }
                .map { String($0.dropFirst(sample.count + 1)) }
        }
    }

    let port: UInt16
    private let process: SupervisedProcess

    init(socket: String) async throws {
        port = FreePort.next()
        process = try SupervisedProcess(
            [try DaemonUnderTest.program("vdrive-exporter"), "--listen", "127.0.0.1:\(port)", "--socket", socket],
            scratch: makeScratchFolder("exporter")
        )
        try await process.waitForPort(port)
    }

    func get(_ path: String = "/metrics", _ options: [String] = []) async throws -> Page {
        let format = "\n%{http_code} %{content_type}"
        let url = "http://127.0.0.1:\(port)\(path)"
        let text = try await mustRun(["curl", "-sS", "-m", "20", "-w", format] + options + [url])
        let end = try #require(text.lastIndex(of: "\n"))
        let words = text[text.index(after: end)...].split(separator: " ", maxSplits: 1)
        return Page(
            status: try #require(Int(words[0])),
            type: words.count > 1 ? String(words[1]) : "",
            body: String(text[..<end])
        )
    }

    /// Prometheus' own opinion of the page: nothing, when it is right.
    func promtool() async throws -> String {
        let url = "http://127.0.0.1:\(port)/metrics"
        let answer = try await runProgram(["sh", "-c", "curl -sS -m 20 \(url) | promtool check metrics 2>&1"])
        return answer.output + answer.errors + (answer.isSuccess ? "" : "status \(answer.status)")
    }

    func stop() { process.stop() }
}

extension Integration {
    /// `vdrive-exporter` with a real daemon below it, and a real Prometheus above.
    @Suite(.serialized)
    struct PrometheusTests {
        private func attachedDisk(_ daemon: DaemonUnderTest) async throws {
            let remote = try await TestRemote.make(.file, for: daemon)
            try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "1M", "--cache-size", "16M")
            let path = try await daemon.attachImage("disk")
            try await blocking {
                let image = try ImageFile(path)
                for index in 0..<40 { try image.write([UInt8](repeating: 7, count: 65_536), at: UInt64(index) << 16) }
                for index in 0..<100 { _ = try image.read(at: UInt64(index) << 12, count: 4096) }
                try image.file.sync()
            }
            try await daemon.mustCtl("sync", "disk")
        }

        @Test(.timeLimit(.minutes(1)))
        func `promtool has nothing to say, with traffic, with a detached disk, and without a daemon`() async throws {
            try await DaemonUnderTest.use("exporter") { daemon in
                let exporter = try await ExporterUnderTest(socket: daemon.socket)
                defer { exporter.stop() }
                #expect(try await exporter.promtool() == "")
                try await attachedDisk(daemon)
                let page = try await exporter.get()
                #expect(page.status == 200 && page.type == "text/plain; version=0.0.4; charset=utf-8")
                #expect(page.value("vdrive_up") == "1")
                #expect(page.value(#"vdrive_disk_state{disk="disk",state="attached"}"#) == "1")
                let counters = try await daemon.counters("disk")
                let hits = #"vdrive_requests_total{disk="disk",operation="read",cache="hit"}"#
                #expect(page.value(hits) == "\(counters.readHits)" && counters.readHits >= 100)
                let count = #"vdrive_request_duration_seconds_count{disk="disk",operation="read",cache="hit"}"#
                #expect(page.value(count) == "\(counters.readHits)")
                #expect(try await exporter.promtool() == "")
                try await daemon.mustCtl("detach", "disk")
                #expect(try await exporter.promtool() == "")
                #expect(try await exporter.get().value(hits) == nil)
                try await daemon.terminate()
                #expect(try await exporter.promtool() == "")
                let away = try await exporter.get()
                let samples = away.body.split(separator: "\n").filter { !$0.hasPrefix("#") }
                #expect(away.status == 200 && samples == ["vdrive_up 0"], "\(away)")
                // A daemon that comes back is found again.
                try await daemon.start()
                #expect(try await exporter.get().value("vdrive_up") == "1")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `other pages and methods, many scrapes at once, and one call for each`() async throws {
            try await DaemonUnderTest.use("exporter-http") { daemon in
                let exporter = try await ExporterUnderTest(socket: daemon.socket)
                defer { exporter.stop() }
                let home = try await exporter.get("/")
                #expect(
                    home.status == 200 && home.type.hasPrefix("text/html") && home.body.contains("href=\"/metrics\"")
                )
                for path in ["/metric", "/metrics/", "/favicon.ico"] {
                    #expect(try await exporter.get(path).status == 404, "\(path)")
                }
                for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
                    #expect(try await exporter.get("/metrics", ["-X", method]).status == 405, "\(method)")
                    #expect(try await exporter.get("/", ["-X", method]).status == 405, "\(method)")
                }
                let head = try await exporter.get("/metrics", ["-I"])
                #expect(head.status == 200 && !head.body.contains("vdrive_up"))
                let before = try #require(Int(try await exporter.get().value("vdrive_daemon_calls_total") ?? ""))
                try await withThrowingTaskGroup(of: String?.self) { group in
                    for _ in 0..<20 { group.addTask { try await exporter.get().value("vdrive_up") } }
                    for try await value in group { #expect(value == "1") }
                }
                let after = try #require(Int(try await exporter.get().value("vdrive_daemon_calls_total") ?? ""))
                // The twenty, and the one that told `before`.
                #expect(after - before == 21)
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a daemon that hangs does not hang the scrapes`() async throws {
            try await DaemonUnderTest.use("exporter-hang") { daemon in
                let exporter = try await ExporterUnderTest(socket: daemon.socket)
                defer { exporter.stop() }
                #expect(try await exporter.get().value("vdrive_up") == "1")
                kill(daemon.pid, SIGSTOP)
                defer { kill(daemon.pid, SIGCONT) }
                let taken = try await seconds {
                    try await withThrowingTaskGroup(of: String?.self) { group in
                        for _ in 0..<20 { group.addTask { try await exporter.get().value("vdrive_up") } }
                        for try await value in group { #expect(value == "0") }
                    }
                }
                #expect(taken > 4 && taken < 30, "\(taken) s")
                kill(daemon.pid, SIGCONT)
                var value: String?
                for _ in 0..<20 where value != "1" { value = try await exporter.get().value("vdrive_up") }
                #expect(value == "1")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `what answers a byte a second, or nonsense, is no daemon`() async throws {
            let folder = try makeScratchFolder("false-daemon")
            let drip = "while printf x; do sleep 1; done"
            for (script, limits) in [(drip, 4.0..<30), ("echo nonsense; sleep 60", 0..<4.5)] {
                let socket = "\(folder.path)/socket-\(limits.lowerBound)"
                let listener = try SupervisedProcess(
                    ["socat", "UNIX-LISTEN:\(socket),fork", "SYSTEM:\(script)"],
                    scratch: makeScratchFolder("socat")
                )
                defer { listener.stop() }
                try await wait(for: "a listener", seconds: 20) { (try? RawClient(socket)) != nil }
                let exporter = try await ExporterUnderTest(socket: socket)
                defer { exporter.stop() }
                let taken = try await seconds {
                    let value = try await exporter.get().value("vdrive_up")
                    #expect(value == "0")
                }
                #expect(limits.contains(taken), "\(script): \(taken) s")
            }
            try FileManager.default.removeItem(at: folder)
        }

        @Test(.timeLimit(.minutes(2)))
        func `a real Prometheus scrapes the cache's fill that stats tells`() async throws {
            try await DaemonUnderTest.use("prometheus") { daemon in
                try await attachedDisk(daemon)
                let exporter = try await ExporterUnderTest(socket: daemon.socket)
                defer { exporter.stop() }
                let scratch = try makeScratchFolder("prometheus")
                let configuration = """
                    global:
                      scrape_interval: 1s
                    scrape_configs:
                      - job_name: vdrive
                        static_configs:
                          - targets: ["127.0.0.1:\(exporter.port)"]

                    """
                let file = "\(scratch.path)/prometheus.yml"
                try configuration.write(toFile: file, atomically: true, encoding: .utf8)
                let port = FreePort.next()
                let prometheus = try SupervisedProcess(
                    [
                        "prometheus", "--config.file=\(file)", "--storage.tsdb.path=\(scratch.path)/data",
                        "--web.listen-address=127.0.0.1:\(port)", "--log.level=warn",
                    ],
                    scratch: scratch
                )
                defer { prometheus.stop() }
                try await prometheus.waitForPort(port)
                func query(_ promQL: String) async throws -> String? {
                    let text = try await mustRun([
                        "curl", "-sS", "-m", "10", "-G", "--data-urlencode", "query=\(promQL)",
                        "http://127.0.0.1:\(port)/api/v1/query",
                    ])
                    let json = try JSONValue(parsing: text.utf8)
                    guard case .array(let series)? = json["data"]?["result"], let first = series.first,
                        case .array(let sample)? = first["value"], case .string(let value) = sample[1]
                    else { return nil }
                    return value
                }
                let used = try #require(try await daemon.stats("disk").status.cache.usedBytes)
                #expect(used >= 2 << 20)
                var told: String?
                for _ in 0..<60 where told == nil {
                    try await Task.sleep(for: .milliseconds(500))
                    told = try await query(#"vdrive_cache_used_bytes{disk="disk"}"#)
                }
                #expect(told == "\(used)")
                #expect(try await query(#"up{job="vdrive"}"#) == "1")
                let fill = try await query("vdrive_cache_used_bytes / vdrive_cache_limit_bytes")
                #expect(Double(fill ?? "") == Double(used) / Double(16 << 20))
                let quantile = #"histogram_quantile(0.5, vdrive_request_duration_seconds_bucket{operation="flush"})"#
                #expect((Double(try await query(quantile) ?? "") ?? 0) > 0)
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `it ends well with SIGTERM, and says what is wrong with its address`() async throws {
            let program = try DaemonUnderTest.program("vdrive-exporter")
            let away = ["--socket", "/nonexistent-socket"]
            let timeout = ["env", "--default-signal", "timeout", "--preserve-status", "-s", "TERM", "1"]
            let port = FreePort.next()
            let ended = try await runProgram(timeout + [program, "--listen", "127.0.0.1:\(port)"] + away)
            #expect(ended.status == 0 && ended.errors.contains("listening"), "\(ended)")
            let byVariable = ["env", "VDRIVE_EXPORTER_LISTEN=127.0.0.1:\(port)"]
            let again = try await runProgram(byVariable + timeout + [program] + away)
            #expect(again.status == 0 && again.errors.contains("127.0.0.1:\(port)"), "\(again)")
            let server = try await ServerFarm.shared.server(.apache)
            let taken = try await runProgram([program, "--listen", "127.0.0.1:\(server.port)"])
            #expect(taken.status == 1 && taken.errors.contains("cannot listen"), "\(taken)")
            let wrong = try await runProgram([program, "--listen", "nowhere"])
            #expect(wrong.status == 2, "\(wrong)")
            let variable = try await runProgram(["env", "VDRIVE_EXPORTER_LISTEN=x", program])
            #expect(variable.status == 2 && variable.errors.contains("is not HOST:PORT"), "\(variable)")
        }

        @Test(.timeLimit(.minutes(1)))
        func `clients link nothing of the engine`() async throws {
            let engine = /(fuse|lmdb|zstd|curl|xxhash|blkid)/
            for program in ["vdrivectl", "vdrive-exporter"] {
                let libraries = try await mustRun(["ldd", DaemonUnderTest.program(program)])
                #expect(libraries.contains("libc.so"), "\(libraries)")
                #expect(!libraries.contains(engine), "\(program): \(libraries)")
            }
            // The same look finds them where they are.
            #expect(try await mustRun(["ldd", DaemonUnderTest.program("vdrived")]).contains(engine))
        }
    }
}
