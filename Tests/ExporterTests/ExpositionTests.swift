import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

@testable import vdrive_exporter

@Suite struct ExpositionTests {
    /// The statistics of the document's example.
    private func example(_ index: Int) throws -> StatsGet.Output {
        try ProtocolDocument().method("stats.get").examples[index].result.decode()
    }

    @Test("the table and Protocol/metrics.md are the same")
    func document() throws {
        let text = try String(contentsOfFile: "\(ProtocolDocument.folder)/metrics.md", encoding: .utf8)
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `vdrive_") }.map(String.init)
        #expect(rows == Metrics.all.map(\.row))
        #expect(text.contains(Metrics.table))
    }

    @Test("names follow Prometheus' rules, and none collides with another's parts")
    func names() {
        let names = Metrics.all.map(\.name)
        #expect(Set(names).count == names.count)
        var series: Set<String> = []
        for metric in Metrics.all {
            #expect(metric.name.wholeMatch(of: /vdrive_[a-z][a-z_]*[a-z]/) != nil, "\(metric.name)")
            #expect((metric.kind == .counter) == metric.name.hasSuffix("_total"), "\(metric.name)")
            let bare = metric.name.replacing(/_total$/, with: "")
            for unit in [Metric.Unit.bytes, .seconds] {
                #expect((metric.unit == unit) == bare.hasSuffix("_\(unit.rawValue)"), "\(metric.name)")
            }
            #expect(!metric.labels.contains("le") && !metric.help.hasSuffix("."), "\(metric.name)")
            let parts = metric.kind == .histogram ? ["", "_bucket", "_sum", "_count"] : [""]
            for part in parts { #expect(series.insert(metric.name + part).inserted, "\(metric.name)\(part)") }
        }
    }

    @Test("every metric of the table is told of an attached disk, with its labels and in the table's order")
    func complete() throws {
        let page = Exposition(try example(0)).text
        let types = page.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }
        #expect(types.map(String.init) == Metrics.all.map { "# TYPE \($0.name) \($0.kind.rawValue)" })
        for metric in Metrics.all {
            let lines = page.split(separator: "\n").filter { Self.isSample($0, of: metric) }
            #expect(!lines.isEmpty, "\(metric.name)")
            for line in lines {
                let names = line.matches(of: /([a-z]+)=\x22/).map { String($0.1) }.filter { $0 != "le" }
                #expect(names == metric.labels, "\(line)")
            }
        }
        #expect(page.hasSuffix("\n") && !page.contains("\n\n"))
    }

    private static func isSample(_ line: Substring, of metric: Metric) -> Bool {
        let name = line.prefix { $0 != "{" && $0 != " " }
        return ["", "_bucket", "_sum", "_count"].contains { name == metric.name + $0 }
    }

    @Test("numbers are those of the statistics, and a histogram adds up")
    func numbers() throws {
        let stats = try example(0)
        let page = Exposition(stats).text
        let name = stats.disks[0].status.name
        let counters = try #require(stats.disks[0].counters)
        for line in [
            #"vdrive_requests_total{disk="\#(name)",operation="read",cache="hit"} \#(counters.readHits)"#,
            #"vdrive_request_bytes_total{disk="\#(name)",operation="write"} \#(counters.writtenBytes)"#,
            #"vdrive_remote_requests_total{disk="\#(name)",operation="get"} \#(counters.remote.get.requests)"#,
            #"vdrive_disk_state{disk="\#(name)",state="attached"} 1"#,
            #"vdrive_disk_state{disk="\#(name)",state="failed"} 0"#,
            #"vdrive_request_duration_seconds_bucket{disk="\#(name)",operation="read",cache="miss",le="0.025"} 0"#,
            #"vdrive_request_duration_seconds_bucket{disk="\#(name)",operation="read",cache="miss",le="0.05"} 1200"#,
            #"vdrive_request_duration_seconds_bucket{disk="\#(name)",operation="read",cache="miss",le="+Inf"} 1200"#,
            #"vdrive_request_duration_seconds_count{disk="\#(name)",operation="read",cache="miss"} 1200"#,
            #"vdrive_request_duration_seconds_sum{disk="\#(name)",operation="read",cache="miss"} 48"#,
        ] {
            #expect(page.split(separator: "\n").contains(Substring(line)), "\(line)")
        }
    }

    @Test("a disk that is not attached has a state and a size, and nothing that is not known")
    func detached() throws {
        let page = Exposition(try example(1)).text
        #expect(page.contains(#"state="detached"} 1"#))
        #expect(page.contains("vdrive_disk_size_bytes{"))
        for absent in ["vdrive_requests_total", "vdrive_cache_used_bytes", "vdrive_remote_state", "duration"] {
            #expect(!page.contains(absent), "\(absent)")
        }
    }

    @Test("without a daemon one metric is left")
    func away() {
        let lines = Exposition(nil).text.split(separator: "\n")
        #expect(lines.filter { !$0.hasPrefix("#") } == ["vdrive_up 0"])
        #expect(lines.count == 3)
    }

    @Test("labels are escaped")
    func escaping() throws {
        var stats = try example(1)
        stats.disks[0].status.remote.url = "file:///a\\b\"c\nd"
        #expect(Exposition(stats).text.contains(#"remote="file:///a\\b\"c\nd"} 1"#))
        #expect(Exposition.escaped("a\\\"\n", quotes: false) == #"a\\"\n"#)
    }

    @Test(
        "addresses to listen at",
        arguments: [
            ("127.0.0.1:9753", "127.0.0.1", 9753), ("[::1]:80", "::1", 80), ("localhost:1", "localhost", 1),
        ]
    )
    func addresses(text: String, host: String, port: Int) {
        #expect(ListenAddress(argument: text) == ListenAddress(host: host, port: port))
        #expect(ListenAddress(argument: text)?.description == text)
    }

    @Test("what is no address", arguments: ["", "9753", ":9753", "host:", "host:0", "host:65536", "::1:80", "host:x"])
    func noAddress(text: String) {
        #expect(ListenAddress(argument: text) == nil)
    }
}
