import Foundation
import Linux
import Synchronization
import Testing
import VDriveDataPlane
import VDriveModel

/// Many producers, wrap-around, a full ring: no request is lost and none comes twice. Also run under thread sanitizer.
@Suite struct RingStressTests {
    @Test("a queue keeps order and refuses when it is full")
    func boundedQueue() {
        let queue = BoundedQueue<Int>(capacity: 4)
        for round in 0..<100 {
            for index in 0..<4 { #expect(queue.push(round * 4 + index) == nil) }
            #expect(queue.push(-1) == -1)
            for index in 0..<4 { #expect(queue.pop() == round * 4 + index) }
            #expect(queue.pop() == nil)
        }
    }

    @Test("many producers and consumers pass every element once", arguments: [2, 8, 1024])
    func queueStress(capacity: Int) {
        let queue = BoundedQueue<Int>(capacity: capacity)
        let producers = 4
        let each = 20_000
        let taken = Atomic<Int>(0)
        let seen = AnswerCounts(count: producers * each)
        var threads: [NamedThread] = []
        for producer in 0..<producers {
            threads.append(
                NamedThread.start("producer-\(producer)") {
                    for index in 0..<each {
                        var value: Int? = producer * each + index
                        while let next = value {
                            value = queue.push(next)
                            if value != nil { sched_yield() }
                        }
                    }
                }
            )
        }
        for consumer in 0..<3 {
            threads.append(
                NamedThread.start("consumer-\(consumer)") {
                    var last = [Int](repeating: -1, count: producers)
                    while taken.load(ordering: .relaxed) < producers * each {
                        guard let value = queue.pop() else {
                            sched_yield()
                            continue
                        }
                        taken.add(1, ordering: .relaxed)
                        seen.add(value)
                        // First in, first out: one consumer sees one producer's elements in order.
                        precondition(value % each > last[value / each], "out of order")
                        last[value / each] = value % each
                    }
                }
            )
        }
        for thread in threads { thread.join() }
        #expect(seen.all { $0 == 1 })
    }

    @Test("requests of many threads over a full ring are each answered once", arguments: [2, 16])
    func ringStress(capacity: Int) async throws {
        let ring = RequestRing(capacity: capacity)
        let producers = 4
        let each = 5_000
        let answers = AnswerCounts(count: producers * each)
        let pump = Task {
            await withDiscardingTaskGroup { group in
                while true {
                    let count = await ring.ready()
                    if count == 0 { return }
                    for _ in 0..<count {
                        group.addTask {
                            let request = ring.take()
                            guard case .seek(let offset, _) = request.operation else { preconditionFailure() }
                            request.intoReply().offset(offset)
                        }
                    }
                }
            }
        }
        let running = Atomic<Int>(producers)
        let threads = (0..<producers).map { producer in
            NamedThread.start("submit-\(producer)") {
                defer { running.subtract(1, ordering: .sequentiallyConsistent) }
                for index in 0..<each {
                    let number = producer * each + index
                    ring.submit(Request(.seek(offset: UInt64(number), data: true), reply: answers.handle(number)))
                }
            }
        }
        // Joining would block one of the few threads that the tasks of the pump need.
        while running.load(ordering: .sequentiallyConsistent) > 0 { try await Task.sleep(for: .milliseconds(1)) }
        for thread in threads { thread.join() }
        ring.close()
        await pump.value
        #expect(answers.all { $0 == 1 })
    }

    @Test("a pool hands every buffer to one owner at a time, and waits when all are out")
    func bufferPool() throws {
        let pool = try BufferPool(count: 4, bufferBytes: 4096)
        let threads = (0..<8).map { number in
            NamedThread.start("lease-\(number)") {
                for round in 0..<5_000 {
                    let buffer = pool.lease()
                    let mark = number << 32 | round
                    buffer.memory.storeBytes(of: mark, as: Int.self)
                    if round % 64 == 0 { sched_yield() }
                    precondition(buffer.memory.load(as: Int.self) == mark, "two owners of one buffer")
                }
            }
        }
        for thread in threads { thread.join() }
    }

    @Test("small writes get buffers while large ones hold all of theirs", .timeLimit(.minutes(1)))
    func requestBuffers() throws {
        let buffers = try RequestBuffers()
        let large = (0..<DataPlaneLimits.largeBuffers).map { _ in buffers.lease(for: DataPlaneLimits.requestBytesMax) }
        // More than the kernel keeps in flight: none of them may block.
        let small = (0..<DataPlaneLimits.fuseBackground + 10).map { _ in buffers.lease(for: 4096) }
        #expect(large.allSatisfy { $0.memory.count == DataPlaneLimits.requestBytesMax })
        #expect(small.allSatisfy { $0.memory.count >= 4096 })
        let starts = Set((large + small).map { UInt(bitPattern: $0.memory.baseAddress) })
        #expect(starts.count == large.count + small.count)
    }
}

/// Counts the answers of numbered requests; the number travels as the request pointer.
final class AnswerCounts: Sendable {
    private let region: MappedRegion
    private let count: Int
    private let table: UnsafeTable

    // SAFETY: written once, then only read.
    private struct UnsafeTable: @unchecked Sendable { let pointer: UnsafeMutablePointer<ReplyTable> }

    init(count: Int) {
        self.count = count
        // Any address will do; an error here is an error of the test's machine.
        region = try! MappedRegion(byteCount: (count + 1) * 8)
        let table = UnsafeMutablePointer<ReplyTable>.allocate(capacity: 1)
        table.initialize(
            to: ReplyTable(
                bytes: { _, _, _ in preconditionFailure() },
                file: { _, _, _, _ in preconditionFailure() },
                wrote: { _, _ in preconditionFailure() },
                offset: { place, _ in
                    place.assumingMemoryBound(to: Atomic<UInt64>.self).pointee.add(1, ordering: .relaxed)
                },
                error: { _, _ in preconditionFailure() }
            )
        )
        self.table = UnsafeTable(pointer: table)
    }

    deinit { table.pointer.deallocate() }

    func handle(_ number: Int) -> ReplyHandle {
        ReplyHandle(request: region.base + number * 8, table: UnsafePointer(table.pointer))
    }

    /// Counts one more, as an answer does. Atomic, not under a Mutex: the thread sanitizer does not know Swift's.
    func add(_ number: Int) {
        (region.base + number * 8).assumingMemoryBound(to: Atomic<UInt64>.self).pointee.add(1, ordering: .relaxed)
    }

    func all(_ check: (UInt64) -> Bool) -> Bool {
        let words = region.base.assumingMemoryBound(to: UInt64.self)
        return (0..<count).allSatisfy { check(words[$0]) }
    }
}
