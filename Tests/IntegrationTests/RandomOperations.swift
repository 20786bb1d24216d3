import Glibc
import Linux
import VDriveClient
import VDriveProtocol
import VDriveTestKit

/// One run of random operations on an image, beside a shadow in memory.
///
/// Every call blocks, and all come from one thread at a time.
final class RandomOperations: @unchecked Sendable {
    // SAFETY: `perform` and `checkAll` run one after the other, as the test awaits each.

    struct Difference: Error, CustomStringConvertible {
        let description: String
    }

    private enum Act: String, CaseIterable {
        case read, write, punch, zero, flush, evict, evictAll, sync, reattach

        /// In ten thousand.
        var weight: Int {
            switch self {
            case .read: 4000
            case .write: 3900
            case .punch: 700
            case .zero: 500
            case .flush: 500
            case .evict: 200
            case .evictAll: 80
            case .sync: 100
            case .reattach: 20
            }
        }
    }

    private struct Done {
        var number: Int
        var act: Act
        var offset = 0
        var count = 0
        var seconds = 0.0
    }

    private static let countMax = 256 << 10

    private let world: Integration.RandomOperationsTests.World
    private let imagePath: String
    private let socket: String
    private let disk: String
    private let shadow: UnsafeMutableRawBufferPointer
    private let scratch: UnsafeMutableRawBufferPointer
    private var generator: Generator
    private var image: ImageFile?
    private var history: [Done] = []

    init(
        world: Integration.RandomOperationsTests.World,
        image: String,
        socket: String,
        disk: String,
        diskBytes: Int
    ) {
        self.world = world
        imagePath = image
        self.socket = socket
        self.disk = disk
        generator = Generator(seed: world.seed)
        shadow = .allocate(byteCount: diskBytes, alignment: 4096)
        shadow.initializeMemory(as: UInt8.self, repeating: 0)
        scratch = .allocate(byteCount: max(Self.countMax, 1 << 20), alignment: 4096)
    }

    deinit {
        shadow.deallocate()
        scratch.deallocate()
    }

    /// How often each operation was done, and the seconds that all of them took.
    var summary: String {
        let parts = Act.allCases.map { act in
            let done = history.filter { $0.act == act }
            return "\(act.rawValue) \(done.count) in \(text(done.reduce(0) { $0 + $1.seconds }))"
        }
        return parts.joined(separator: ", ")
    }

    /// - Throws: `Difference` at the first byte that is not what was written, or what an operation threw.
    func perform(_ count: Int) throws {
        let total = Act.allCases.reduce(0) { $0 + $1.weight }
        image = try ImageFile(imagePath)
        for number in 0..<count {
            var ticket = Int.random(in: 0..<total, using: &generator)
            let act = Act.allCases.first { act in
                ticket -= act.weight
                return ticket < 0
            }!
            history.append(Done(number: number, act: act))
            let start = ContinuousClock.now
            do {
                try perform(act)
                history[number].seconds = start.duration(to: .now) / .seconds(1)
            } catch let error as Difference {
                throw error
            } catch {
                let done = history[history.count - 1]
                throw Difference(
                    description: "seed \(world.seed), operation \(number), \(act.rawValue) of \(done.count) bytes "
                        + "at \(done.offset): \(error) (so far: \(summary))"
                )
            }
        }
        image = nil
    }

    private func perform(_ act: Act) throws {
        switch act {
        case .read, .write, .punch, .zero: try performIO(act)
        case .flush: try image?.file.sync()
        case .evict: try call(CacheEvict.self, .init(name: disk))
        case .evictAll: try call(CacheEvict.self, .init(name: disk, wait: true))
        case .sync: try call(DiskSync.self, .init(name: disk))
        case .reattach:
            image = nil
            try call(DiskDetach.self, .init(name: disk))
            try call(DiskAttach.self, .init(name: disk, filesystem: FilesystemChoice.none))
            image = try ImageFile(imagePath)
        }
    }

    private func performIO(_ act: Act) throws {
        let range = nextRange()
        history[history.count - 1].offset = range.lowerBound
        history[history.count - 1].count = range.count
        let part = UnsafeMutableRawBufferPointer(rebasing: shadow[range])
        let buffer = UnsafeMutableRawBufferPointer(rebasing: scratch[..<range.count])
        guard let image else { preconditionFailure("no image is open") }
        switch act {
        case .read:
            try image.file.preadAll(into: buffer, at: UInt64(range.lowerBound))
            try compare(buffer, with: range, "operation \(history.count - 1)")
        case .write:
            fill(part)
            try image.file.pwriteAll(UnsafeRawBufferPointer(part), at: UInt64(range.lowerBound))
        case .punch:
            memset(part.baseAddress!, 0, part.count)
            try image.punch(at: UInt64(range.lowerBound), count: range.count)
        default:
            memset(part.baseAddress!, 0, part.count)
            try image.allocate(ImageFile.zeroRange, at: UInt64(range.lowerBound), count: range.count)
        }
    }

    /// Whole pages, odd bytes, whole chunks, and what crosses the border of a chunk; half of it in one eighth of the
    /// disk, so that things meet.
    private func nextRange() -> Range<Int> {
        let area = Bool.random(using: &generator) ? shadow.count / 8 : shadow.count
        var offset = Int.random(in: 0..<area, using: &generator)
        var count: Int
        switch Int.random(in: 0..<8, using: &generator) {
        case 0...2:
            offset &= ~4095
            count = Int.random(in: 1...16, using: &generator) * 4096
        case 3, 4: count = Int.random(in: 1...5000, using: &generator)
        case 5: count = Int.random(in: 1...Self.countMax, using: &generator)
        case 6:
            // Across the border of two chunks.
            let border = max(1, offset / world.chunkBytes) * world.chunkBytes
            count = Int.random(in: 2...(64 << 10), using: &generator)
            offset = max(0, border - Int.random(in: 1..<count, using: &generator))
        default:
            let bytes = min(world.chunkBytes, Self.countMax)
            offset = offset / bytes * bytes
            count = bytes
        }
        count = min(count, shadow.count - offset)
        return offset..<offset + count
    }

    private func fill(_ part: UnsafeMutableRawBufferPointer) {
        switch Int.random(in: 0..<8, using: &generator) {
        case 0: memset(part.baseAddress!, 0, part.count)
        case 1, 2: memset(part.baseAddress!, CInt.random(in: 1...255, using: &generator), part.count)
        default: generator.fill(part)
        }
    }

    private func call<Method: RPCMethod>(_ method: Method.Type, _ parameters: Method.Parameters) throws {
        var connection = try ControlConnection(path: socket)
        _ = try connection.call(method, parameters)
    }

    // MARK: Comparing

    /// Reads all of an image and compares it.
    func checkAll(_ moment: String, image path: String? = nil) throws {
        let image = try ImageFile(path ?? imagePath, flags: O_RDONLY)
        var offset = 0
        while offset < shadow.count {
            let range = offset..<min(shadow.count, offset + scratch.count)
            let buffer = UnsafeMutableRawBufferPointer(rebasing: scratch[..<range.count])
            try image.file.preadAll(into: buffer, at: UInt64(offset))
            try compare(buffer, with: range, moment)
            offset = range.upperBound
        }
    }

    private func compare(_ bytes: UnsafeMutableRawBufferPointer, with range: Range<Int>, _ moment: String) throws {
        guard memcmp(bytes.baseAddress!, shadow.baseAddress! + range.lowerBound, range.count) != 0 else { return }
        let wrong = range.indices.filter { bytes[$0 - range.lowerBound] != shadow[$0] }
        let first = wrong[0]
        let page = first / 4096 * 4096
        let kind = bytes[first - range.lowerBound] == 0 ? "zeros" : "other bytes"
        let touched = history.filter { done in
            done.count == 0 || done.offset < page + 4096 && done.offset + done.count > page
        }
        let last = touched.suffix(25).map { "\($0.number) \($0.act.rawValue) \($0.offset)+\($0.count)" }
        throw Difference(
            description: "seed \(world.seed), \(moment): \(wrong.count) of \(range.count) bytes from "
                + "\(range.lowerBound) are wrong, first at \(first) (chunk \(first / world.chunkBytes), page "
                + "\(first % world.chunkBytes / 4096)), last at \(wrong[wrong.count - 1]), \(kind); "
                + "what touched that page or the cache: \(last.joined(separator: "; "))"
        )
    }
}
