import Foundation
import Testing
import VDriveTestKit

/// The checkers of the torture, shown damaged images: each must see what is wrong.
@Suite
struct CheckerTests {
    private static let layout = ShadowDisk.Layout(sectors: 256, writers: 1, seed: 5)

    /// A disk of one writer: writes 1 to 3 flushed, 4 a punch and 5 a write over two sectors, not flushed.
    private static func sample() -> ShadowDisk {
        var disk = ShadowDisk(layout)
        for sectors in [10..<12, 11..<13, 40..<41] { write(&disk, sectors) }
        disk.flushed(0, through: 3)
        write(&disk, 12..<13, isPunch: true)
        write(&disk, 40..<42)
        return disk
    }

    private static func write(
        _ disk: inout ShadowDisk,
        _ sectors: Range<Int>,
        by writer: Int = 0,
        isPunch: Bool = false
    ) {
        _ = disk.issue(writer, sectors, isPunch: isPunch)
        disk.complete(writer)
    }

    /// What the sample's disk shows when all is there, or changed here and there.
    private static func image(_ changes: [Int: UInt64] = [:]) -> DiskSnapshot {
        var numbers = [UInt64](repeating: 0, count: layout.sectors)
        for (sector, number) in [10: 1, 11: 2, 40: 5, 41: 5] { numbers[sector] = UInt64(number) }
        for (sector, number) in changes { numbers[sector] = number }
        return DiskSnapshot(numbers: numbers)
    }

    /// The complaints of checker B; none when it has found an instant.
    private static func judged(_ disk: ShadowDisk, _ found: DiskSnapshot) -> [String] {
        if case .wrong(let complaints) = disk.judge(found) { return complaints }
        return []
    }

    // MARK: Sectors

    /// Writes an image of stamps, lets a body damage it, and reads it.
    private func read(_ damage: (inout [UInt8]) -> Void) throws -> DiskSnapshot {
        let folder = try makeScratchFolder("checker")
        defer { try? FileManager.default.removeItem(at: folder) }
        var bytes = [UInt8](repeating: 0, count: Self.layout.sectors * 4096)
        bytes.withUnsafeMutableBytes { all in
            for sector in 0..<100 {
                SectorStamp(sector: sector, sequence: 7, seed: 5, writer: 0)
                    .fill(UnsafeMutableRawBufferPointer(rebasing: all[sector * 4096..<(sector + 1) * 4096]))
            }
        }
        damage(&bytes)
        let file = folder.appendingPathComponent("image")
        try Data(bytes).write(to: file)
        return try DiskSnapshot(of: file.path, disk: Self.layout)
    }

    @Test
    func `a whole image is read as it was written`() throws {
        let found = try read { _ in }
        #expect(found.damage.isEmpty)
        #expect(found.numbers == (0..<256).map { $0 < 100 ? 7 : 0 })
    }

    @Test(arguments: ["half", "bit", "zeros in it", "moved", "other seed", "noise"])
    func `a damaged sector is seen`(damage: String) throws {
        let found = try read { bytes in
            func stamp(_ stamp: SectorStamp, at sector: Int, blocks: Range<Int> = 0..<8) {
                var fresh = [UInt8](repeating: 0, count: 4096)
                fresh.withUnsafeMutableBytes { stamp.fill($0) }
                let range = blocks.lowerBound * 512..<blocks.upperBound * 512
                bytes.replaceSubrange(
                    sector * 4096 + range.lowerBound..<sector * 4096 + range.upperBound,
                    with: fresh[range]
                )
            }
            switch damage {
            case "half": stamp(SectorStamp(sector: 3, sequence: 8, seed: 5, writer: 0), at: 3, blocks: 4..<8)
            case "bit": bytes[3 * 4096 + 4000] ^= 1
            case "zeros in it": for at in 3 * 4096 + 512..<3 * 4096 + 1024 { bytes[at] = 0 }
            case "moved": stamp(SectorStamp(sector: 4, sequence: 7, seed: 5, writer: 0), at: 3)
            case "other seed": stamp(SectorStamp(sector: 3, sequence: 7, seed: 6, writer: 0), at: 3)
            default: for at in 3 * 4096..<4 * 4096 { bytes[at] = UInt8(truncatingIfNeeded: at &* 31) }
            }
        }
        #expect(found.damage.count == 1)
        #expect(found.damage.first?.hasPrefix("sector 3:") == true, "\(found.damage)")
        // Both checkers hand it on.
        #expect(Self.sample().complaints(about: found).contains { $0.hasPrefix("sector 3:") })
        #expect(!Self.judged(Self.sample(), found).isEmpty)
    }

    // MARK: Checker A

    @Test(arguments: [[:], [40: 3, 41: 0], [12: 2], [41: 0, 12: 2]] as [[Int: UInt64]])
    func `what the flush covers, or anything later, is right on this machine`(changes: [Int: UInt64]) {
        #expect(Self.sample().complaints(about: Self.image(changes)).isEmpty)
    }

    @Test(arguments: [[10: 0], [11: 1], [40: 0], [12: 1], [200: 4], [10: 5]] as [[Int: UInt64]])
    func `zeros, older writes and strange ones are wrong on this machine`(changes: [Int: UInt64]) {
        let complaints = Self.sample().complaints(about: Self.image(changes))
        #expect(complaints.count == 1)
        #expect(complaints.first?.hasPrefix("sector \(changes.keys.first!) ") == true, "\(complaints)")
    }

    @Test
    func `what a crash took away does not come back`() {
        var disk = Self.sample()
        disk.beginRound(with: Self.image([40: 3, 41: 0]))
        #expect(disk.complaints(about: Self.image([40: 3, 41: 0])).isEmpty)
        #expect(disk.complaints(about: Self.image()).count == 2)
        // What survived unflushed may still go, until a flush.
        #expect(disk.complaints(about: Self.image([40: 3, 41: 0, 12: 2])).isEmpty)
        disk.flushed(0, through: 5)
        #expect(disk.complaints(about: Self.image([40: 3, 41: 0, 12: 2])).count == 1)
    }

    // MARK: Checker B

    @Test(
        arguments: [
            [:], [40: 3, 41: 0], [40: 3, 41: 0, 12: 2], [40: 0, 41: 0, 12: 2], [41: 0],
            [10: 0, 11: 0, 40: 0, 41: 0],
        ] as [[Int: UInt64]]
    )
    func `every instant is right from the remote, also in the middle of a write`(changes: [Int: UInt64]) {
        let complaints = Self.judged(Self.sample(), Self.image(changes))
        #expect(complaints.isEmpty, "\(complaints)")
    }

    /// One after the other: the newest write without the punch before it; an old write missing; an old write where a
    /// newer one should be; zeros; a write without the one before it.
    @Test(arguments: [[12: 2], [10: 0], [11: 1], [11: 0], [11: 0, 10: 1, 12: 0]] as [[Int: UInt64]])
    func `a mix of instants is wrong from the remote`(changes: [Int: UInt64]) {
        #expect(!Self.judged(Self.sample(), Self.image(changes)).isEmpty)
    }

    @Test
    func `the remote never goes back behind an answered sync`() {
        var disk = Self.sample()
        let early = Self.image([40: 0, 41: 0, 12: 2])
        #expect(Self.judged(disk, early).isEmpty)
        disk.synced([3])
        #expect(!Self.judged(disk, early).isEmpty)
        let atSync = Self.image([40: 3, 41: 0, 12: 2])
        #expect(Self.judged(disk, atSync).isEmpty)
        disk.beginRound(with: Self.image())
        #expect(Self.judged(disk, atSync).isEmpty)
        disk.synced([5])
        #expect(!Self.judged(disk, atSync).isEmpty)
        #expect(Self.judged(disk, Self.image()).isEmpty)
    }

    @Test
    func `writers agree with the clock from the remote`() {
        let layout = ShadowDisk.Layout(sectors: 256, writers: 2, seed: 5)
        // With two owners: writer 1 has sectors 24 to 87.
        #expect(layout.owner(of: 0) == 0 && layout.owner(of: 24) == 1 && layout.owner(of: 88) == 0)
        var disk = ShadowDisk(layout)
        Self.write(&disk, 0..<1, by: 0)
        Self.write(&disk, 30..<31, by: 1)
        func image(_ zero: UInt64, _ one: UInt64) -> DiskSnapshot {
            var numbers = [UInt64](repeating: 0, count: 256)
            numbers[0] = zero
            numbers[30] = one
            return DiskSnapshot(numbers: numbers)
        }
        #expect(Self.judged(disk, image(1, 1)).isEmpty)
        #expect(Self.judged(disk, image(1, 0)).isEmpty)
        #expect(Self.judged(disk, image(0, 0)).isEmpty)
        // Writer 1 began when writer 0 had been answered.
        #expect(!Self.judged(disk, image(0, 1)).isEmpty)
        // At the same time, both orders are right.
        _ = disk.issue(0, 1..<2, isPunch: false)
        Self.write(&disk, 31..<32, by: 1)
        disk.complete(0)
        var late = image(1, 1)
        late.numbers[31] = 2
        #expect(Self.judged(disk, late).isEmpty)
    }
}
