import Glibc

/// What a made trace looks like.
enum TraceForm: String, CaseIterable, Sendable {
    /// Independent requests, the n-th chunk 1/n^alpha as often as the first.
    case zipf
    /// A hot set, and beside it all the time a scan over what is never seen again: a request each in turn.
    case mixed
    /// A hot set, and now and then a scan of twice its size over what is never seen again.
    case bursts
    /// A hot set, and now and then a scan over the same eight times as much, like a nightly backup.
    case nightly
    /// Over and over the chunks in order.
    case loop
}

/// Makes traces; the same seed makes the same one.
struct TraceMaker {
    var alpha = 0.9
    /// Requests that a scan makes of each chunk.
    var scanRequests = 1

    private let chunkBytes: Int
    private let chunks: Int
    private var random: SplitMix
    private var trace = Trace()

    /// - Parameter chunks: of the disk, or of the hot set where there is one.
    init(chunkBytes: Int, chunks: Int, seed: UInt64) {
        self.chunkBytes = chunkBytes
        self.chunks = chunks
        random = SplitMix(state: seed)
    }

    mutating func make(_ form: TraceForm, requests: Int) -> Trace {
        trace = Trace()
        trace.requests.reserveCapacity(requests)
        switch form {
        case .zipf: zipf(requests)
        case .mixed: mixed(requests)
        case .bursts: scans(requests, every: 4 * chunks, length: 2 * chunks, repeats: false)
        case .nightly: scans(requests, every: 16 * chunks, length: 8 * chunks, repeats: true)
        case .loop: for index in 0..<requests { access(index % chunks) }
        }
        return trace
    }

    private mutating func zipf(_ requests: Int) {
        var sums: [Double] = []
        sums.reserveCapacity(chunks)
        var sum = 0.0
        for rank in 1...chunks {
            sum += pow(Double(rank), -alpha)
            sums.append(sum)
        }
        for _ in 0..<requests {
            let point = Double(random.next() >> 11) / Double(1 << 53) * sum
            var low = 0
            var high = chunks - 1
            while low < high {
                let middle = (low + high) / 2
                if sums[middle] > point { high = middle } else { low = middle + 1 }
            }
            access(low)
        }
    }

    private mutating func mixed(_ requests: Int) {
        var step = 0
        while trace.requests.count < requests {
            hot()
            access(chunks + step / scanRequests, part: step % scanRequests, of: scanRequests)
            step += 1
        }
    }

    private mutating func scans(_ requests: Int, every: Int, length: Int, repeats: Bool) {
        var first = chunks
        while trace.requests.count < requests {
            for _ in 0..<every where trace.requests.count < requests { hot() }
            for chunk in first..<first + length {
                for part in 0..<scanRequests where trace.requests.count < requests {
                    access(chunk, part: part, of: scanRequests)
                }
            }
            if !repeats { first += length }
        }
    }

    private mutating func hot() { access(Int.random(in: 0..<chunks, using: &random)) }

    /// A request of a page in a chunk, or of one of so many equal parts of it; a thousand a second.
    private mutating func access(_ chunk: Int, part: Int = 0, of parts: Int? = nil) {
        let length = max(1, chunkBytes / (parts ?? (chunkBytes / 4096)))
        trace.requests.append(
            Trace.Request(
                time: Double(trace.requests.count) / 1000,
                offset: UInt64(chunk) * UInt64(chunkBytes) + UInt64(part * length),
                length: UInt64(length)
            )
        )
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
