import Testing
import VDriveModel

@testable import VDriveEngine

@Suite struct LRUPolicyTests {
    @Test("the least recently used chunk goes first, like in a plain list", arguments: [UInt64(1), 2, 3])
    func againstReference(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var policy = LRUPolicy()
        var lastAccess: [ChunkIndex: UInt64] = [:]
        var time: UInt64 = 0
        for _ in 0..<5_000 {
            time += 1
            let chunk = ChunkIndex(UInt64.random(in: 0..<200, using: &random))
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<7:
                if lastAccess[chunk] == nil { policy.admit(chunk, tick: time) }
                lastAccess[chunk] = time
            case 7:
                policy.remove(chunk)
                lastAccess[chunk] = nil
            default:
                let expected = lastAccess.min { $0.value < $1.value }?.key
                #expect(policy.next { lastAccess[$0]! } == expected)
                if let expected { lastAccess[expected] = nil }
            }
            #expect(policy.count == lastAccess.count)
        }
    }
}
