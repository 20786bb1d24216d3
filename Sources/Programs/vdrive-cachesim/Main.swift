import ArgumentParser
import Glibc
import VDriveEngine
import VDriveProtocol

/// Plays a trace of requests against the engine's own eviction policies and the best that is possible.
@main
struct CacheSimulator: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vdrive-cachesim",
        abstract: "Hit ratios of the cache's eviction policies on a trace, for several cache sizes.",
        discussion: """
            A trace is a text file with one request a line: its time in seconds, its offset and its length
            in bytes, with commas between them; a line that begins with # is a comment. A request counts
            once for each chunk that it touches: a hit when that chunk is in the cache.
            """
    )

    @Option(help: "The trace to play.", completion: .file()) var trace: String?
    @Option(help: "A trace to make instead: zipf, mixed, bursts, nightly or loop.") var make: TraceForm?
    @Option(help: "Of a made trace: the chunks of the disk; of the hot set, where there is one.") var chunks = 10_000
    @Option(help: "Of a made trace: its requests.") var requests = 1_000_000
    @Option(help: "Of a made trace: how skewed zipf is.") var alpha = 0.9
    @Option(help: "Of a made trace: requests that a scan makes of each chunk.") var scanRequests = 1
    @Option(help: "Of a made trace: the seed.") var seed: UInt64 = 1
    @Option(help: "The chunk size.") var chunkSize = ByteCount(4 << 20)
    @Option(
        parsing: .upToNextOption,
        help: "Cache sizes; some shares of what the trace touches when left out."
    ) var cacheSize: [ByteCount] = []
    @Option(help: "Write the trace to this file.", completion: .file()) var writeTrace: String?

    func validate() throws {
        guard (trace == nil) != (make == nil) else { throw ValidationError("Choose one of --trace and --make.") }
        guard chunkSize.bytes >= 65_536, chunkSize.bytes <= 16 << 20, chunkSize.bytes & (chunkSize.bytes - 1) == 0
        else { throw ValidationError("The chunk size must be a power of two from 64K to 16M.") }
        guard chunks > 0, requests > 0, scanRequests > 0, alpha >= 0 else {
            throw ValidationError("--chunks, --requests and --scan-requests must be above 0, --alpha not below.")
        }
    }

    func run() throws { try report { print($0) } }

    /// - Parameter show: gets the table line by line.
    func report(_ show: (String) -> Void) throws {
        let chunkBytes = Int(chunkSize.bytes)
        let played = try playedTrace(chunkBytes)
        if let writeTrace { try played.write(to: writeTrace, comment: summary) }
        let accesses = Accesses(played, chunkBytes: chunkBytes)
        show("\(summary); \(accesses.order.count) accesses to \(accesses.distinct) chunks of \(text(chunkSize.bytes))")
        show(line(["cache", "chunks", "lru", "s3fifo", "optimum"]))
        for size in sizes(accesses, chunkBytes) {
            let simulation = Simulation(accesses: accesses, chunkBytes: chunkBytes, cacheBytes: size)
            let hits = [
                simulation.hits(of: .lru), simulation.hits(of: .s3fifo),
                Optimum.hits(accesses, cacheChunks: simulation.cacheChunks),
            ]
            show(line([text(size), "\(simulation.cacheChunks)"] + hits.map { percent($0, of: accesses.order.count) }))
        }
    }

    private func playedTrace(_ chunkBytes: Int) throws -> Trace {
        if let trace { return try Trace(text: try Trace.read(trace), path: trace) }
        var maker = TraceMaker(chunkBytes: chunkBytes, chunks: chunks, seed: seed)
        maker.alpha = alpha
        maker.scanRequests = scanRequests
        return maker.make(make!, requests: requests)
    }

    private var summary: String {
        guard let make else { return "trace \(trace ?? "")" }
        let shape =
            make == .zipf ? ", alpha \(alpha)" : scanRequests > 1 ? ", \(scanRequests) requests a scan's chunk" : ""
        return "\(make.rawValue), \(chunks) chunks, \(requests) requests\(shape), seed \(seed)"
    }

    private func sizes(_ accesses: Accesses, _ chunkBytes: Int) -> [UInt64] {
        if !cacheSize.isEmpty { return cacheSize.map(\.bytes) }
        return [2, 5, 10, 20, 40].map { UInt64(max(1, accesses.distinct * $0 / 100) * chunkBytes) }
    }

    private func text(_ bytes: UInt64) -> String { ByteSize.text(bytes) }

    private func percent(_ hits: Int, of accesses: Int) -> String {
        let tenths = (1000 * hits + accesses / 2) / max(1, accesses)
        return "\(tenths / 10).\(tenths % 10) %"
    }

    private func line(_ cells: [String]) -> String {
        cells.map { String(repeating: " ", count: max(0, 11 - $0.count)) + $0 }.joined()
    }
}

/// A size on the command line.
struct ByteCount: ExpressibleByArgument {
    let bytes: UInt64

    init(_ bytes: UInt64) { self.bytes = bytes }

    init?(argument: String) {
        guard let bytes = ByteSize.parse(argument) else { return nil }
        self.bytes = bytes
    }

    var defaultValueDescription: String { ByteSize.text(bytes) }
}

extension TraceForm: ExpressibleByArgument {}
