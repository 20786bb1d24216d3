import Testing
import VDriveModel

@testable import VDriveEngine

/// The chunks of a stretch that hold data: mapped ones and dirty ones.
@Suite struct DataChunksTests {
    private static func chunks(_ numbers: some Sequence<Int>) -> [ChunkIndex] {
        numbers.map { ChunkIndex(UInt64($0)) }
    }

    @Test("any stretch, however the data lies, gives what a plain search gives", arguments: 0..<40 as Range<UInt64>)
    func random(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        // From a few that are close together to many that are far from each other, and the other way round.
        let span = [40, 300, 5000][Int(seed % 3)]
        func some(_ most: Int) -> Set<Int> {
            let count = Int.random(in: 0...most, using: &generator)
            var numbers = Set((0..<count).map { _ in Int.random(in: 0..<span, using: &generator) })
            if Bool.random(using: &generator) {
                let start = Int.random(in: 0..<span, using: &generator)
                numbers.formUnion(start..<min(span, start + count))
            }
            return numbers
        }
        for _ in 0..<200 {
            let mapped = some(40)
            let dirty = some([3, 30, 400][Int.random(in: 0..<3, using: &generator)])
            let ends = (0..<2).map { _ in Int.random(in: 0...span, using: &generator) }.sorted()
            let stretch = ends[0]..<ends[1]
            let limit = [1, 1, 2, 7, 256][Int.random(in: 0..<5, using: &generator)]
            let found = CacheActor.data(
                in: ChunkIndex(UInt64(ends[0]))..<ChunkIndex(UInt64(ends[1])),
                mapped: Self.chunks(mapped.filter(stretch.contains).sorted().prefix(limit)),
                dirty: Set(Self.chunks(dirty)),
                limit: limit
            )
            let expected = Self.chunks(mapped.union(dirty).filter(stretch.contains).sorted().prefix(limit))
            #expect(found == expected, "\(stretch), limit \(limit)")
        }
    }
}
