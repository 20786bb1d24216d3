import Glibc
import Linux
import Synchronization

/// The shadow, shared by the writers of a run.
final class SharedShadow: Sendable {
    private let disk: Mutex<ShadowDisk>
    let layout: ShadowDisk.Layout

    init(_ layout: ShadowDisk.Layout) {
        self.layout = layout
        disk = Mutex(ShadowDisk(layout))
    }

    func with<Answer: Sendable>(_ body: (inout ShadowDisk) throws -> Answer) rethrows -> Answer {
        try disk.withLock { disk in try body(&disk) }
    }
}

/// Writes stamps, punches holes and flushes, one operation after the other, until it is told to end or the disk goes
/// away under it.
struct StampedWriter: Sendable {
    /// How a writer came to its end.
    enum End: Equatable, Sendable {
        case told
        case refused(CInt)
    }

    let image: String
    let number: Int
    let shadow: SharedShadow
    /// Writes around the page cache, as a loop device with direct I/O does.
    let isDirect: Bool
    /// Of a thousand operations.
    private static let flushes = 160
    private static let punches = 60
    private static let reads = 60

    /// A read that showed something else than what this writer wrote last.
    struct WrongRead: Error, CustomStringConvertible {
        let description: String
    }

    /// One writer's files and memory.
    fileprivate final class Tools {
        let file: ImageFile
        /// Asks the daemon and not the page cache.
        let direct: ImageFile
        let buffer: UnsafeMutableRawBufferPointer

        init(_ image: String, isDirect: Bool) throws {
            direct = try ImageFile(image, flags: O_RDWR | ImageFile.direct)
            file = isDirect ? direct : try ImageFile(image)
            buffer = .allocate(byteCount: 65 * 4096, alignment: 4096)
        }

        deinit { buffer.deallocate() }

        func sector(_ index: Int) -> UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(rebasing: buffer[(index * 4096)..<(index + 1) * 4096])
        }
    }

    /// Blocks.
    func run(seed: UInt64, until isOver: borrowing Atomic<Bool>) throws -> End {
        var generator = Generator(seed: seed)
        do {
            let tools = try Tools(image, isDirect: isDirect)
            while !isOver.load(ordering: .relaxed) { try step(tools, &generator) }
            return .told
        } catch let error as Errno {
            return .refused(error.rawValue)
        }
    }

    /// Files that stay open for as long as this is kept.
    final class OpenFiles: @unchecked Sendable {
        // SAFETY: nobody writes with them any more; the last owner closes them.
        private let tools: Tools

        fileprivate init(_ tools: Tools) { self.tools = tools }
    }

    /// Writes some sectors, one after the other. Blocks.
    ///
    /// - Returns: what must be kept for as long as nothing shall be flushed: a close is a flush.
    func write(sectors: Range<Int>) throws -> OpenFiles {
        let tools = try Tools(image, isDirect: isDirect)
        for sector in sectors { try write(tools, sector..<sector + 1) }
        return OpenFiles(tools)
    }

    private func step(_ tools: Tools, _ generator: inout Generator) throws {
        let sectors = place(&generator)
        switch Int.random(in: 0..<1000, using: &generator) {
        case 0..<Self.flushes:
            let through = shadow.with { $0.completed(number) }
            try tools.file.file.sync()
            shadow.with { $0.flushed(number, through: through) }
        case Self.flushes..<Self.flushes + Self.punches:
            _ = shadow.with { $0.issue(number, sectors, isPunch: true) }
            try tools.file.punch(at: UInt64(sectors.lowerBound * 4096), count: sectors.count * 4096)
            shadow.with { $0.complete(number) }
        case Self.flushes + Self.punches..<Self.flushes + Self.punches + Self.reads: try read(tools, sectors)
        default: try write(tools, sectors)
        }
    }

    private func write(_ tools: Tools, _ sectors: Range<Int>) throws {
        let sequence = shadow.with { $0.issue(number, sectors, isPunch: false) }
        for (index, sector) in sectors.enumerated() {
            SectorStamp(sector: sector, sequence: sequence, seed: shadow.layout.seed, writer: number)
                .fill(tools.sector(index))
        }
        let bytes = UnsafeRawBufferPointer(rebasing: tools.buffer[..<(sectors.count * 4096)])
        try tools.file.file.pwriteAll(bytes, at: UInt64(sectors.lowerBound * 4096))
        shadow.with { $0.complete(number) }
    }

    /// A read shows what was written last.
    private func read(_ tools: Tools, _ sectors: Range<Int>) throws {
        let part = UnsafeMutableRawBufferPointer(rebasing: tools.buffer[..<(sectors.count * 4096)])
        try tools.direct.file.preadAll(into: part, at: UInt64(sectors.lowerBound * 4096))
        let right = shadow.with { disk in sectors.map { disk.shows($0) } }
        for (index, sector) in sectors.enumerated() {
            let content = SectorContent(UnsafeRawBufferPointer(tools.sector(index)), scratch: tools.sector(64))
            let stamp = SectorStamp(sector: sector, sequence: right[index], seed: shadow.layout.seed, writer: number)
            guard content != (right[index] == 0 ? .zeros : .stamped(stamp)) else { continue }
            throw WrongRead(description: "sector \(sector) reads as \(content) instead of write \(right[index])")
        }
    }

    /// Half of the operations go to an eighth of the disk, so that chunks are written again and again.
    private func place(_ generator: inout Generator) -> Range<Int> {
        let layout = shadow.layout
        let count =
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<5: 1
            case 5..<8: Int.random(in: 2...16, using: &generator)
            default: Int.random(in: 17...64, using: &generator)
            }
        let end = Bool.random(using: &generator) ? layout.sectors / 8 : layout.sectors
        while true {
            let first = Int.random(in: 0..<end, using: &generator)
            if layout.owner(of: first) == number { return first..<first + min(count, layout.reach(of: first)) }
        }
    }
}
