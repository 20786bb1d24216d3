import Testing
import VDriveModel

@testable import VDriveEngine

@Suite struct ReadAheadTests {
    private let geometry = try! DiskGeometry(diskBytes: 1 << 30, chunkBytes: 4 << 20)

    @Test("random readers fetch nothing ahead")
    func random() {
        var state = ReadAhead(cacheBytes: 1 << 30, chunkBytes: 4 << 20)
        for chunk in [9, 200, 3, 77, 150, 20] as [UInt64] {
            let plan = state.miss(chunk: ChunkIndex(chunk), pages: 700..<701, geometry: geometry)
            #expect(!plan.wholeChunk && plan.ahead.isEmpty)
        }
    }

    @Test("a window doubles with the reader, does not repeat itself, and ends with the disk")
    func sequential() {
        var state = ReadAhead(cacheBytes: 1 << 30, chunkBytes: 4 << 20)
        _ = state.miss(chunk: ChunkIndex(0), pages: 0..<256, geometry: geometry)
        let plan = state.miss(chunk: ChunkIndex(0), pages: 256..<512, geometry: geometry)
        #expect(plan.wholeChunk && plan.ahead == [ChunkIndex(1)])
        var asked = Set(plan.ahead)
        var marked = plan.ahead[0]
        var widths: [Int] = []
        while true {
            let next = state.reached(marked, geometry: geometry)
            if next.isEmpty { break }
            #expect(asked.isDisjoint(with: next))
            asked.formUnion(next)
            widths.append(next.count)
            marked = next[0]
        }
        #expect(asked.count == 255 && asked.max() == ChunkIndex(255))
        #expect(widths.max()! <= 16)
    }

    @Test("interleaved readers keep windows of their own")
    func interleaved() {
        var state = ReadAhead(cacheBytes: 1 << 30, chunkBytes: 4 << 20)
        for start in [0, 100] as [UInt64] {
            _ = state.miss(chunk: ChunkIndex(start), pages: 0..<32, geometry: geometry)
        }
        for start in [0, 100] as [UInt64] {
            let plan = state.miss(chunk: ChunkIndex(start), pages: 32..<64, geometry: geometry)
            #expect(plan.ahead == [ChunkIndex(start + 1)])
        }
    }

    @Test("a cache too small for read-ahead gets none")
    func smallCache() {
        var state = ReadAhead(cacheBytes: 8 << 20, chunkBytes: 4 << 20)
        _ = state.miss(chunk: ChunkIndex(0), pages: 0..<32, geometry: geometry)
        let plan = state.miss(chunk: ChunkIndex(0), pages: 32..<64, geometry: geometry)
        #expect(plan.wholeChunk && plan.ahead.isEmpty)
    }
}
