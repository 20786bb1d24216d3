import Foundation
import Linux
import Synchronization
import Testing

@Suite struct MemoryTests {
    @Test func `a huge region costs what is touched, and gives it back`() throws {
        let region = try MappedRegion(byteCount: 1 << 40)
        #expect(region.byteCount == 1 << 40)
        for place in 0..<64 { region.base.storeBytes(of: 1, toByteOffset: place << 34, as: UInt64.self) }
        try region.discard(0..<(1 << 34) + 4096)
        #expect(region.base.load(as: UInt64.self) == 0)
        #expect(region.base.load(fromByteOffset: 1 << 34, as: UInt64.self) == 0)
        #expect(region.base.load(fromByteOffset: 2 << 34, as: UInt64.self) == 1)
    }

    @Test func `locked memory can be given back too`() throws {
        let region = try MappedRegion(byteCount: 1 << 20)
        try #require(mlock(region.base, region.byteCount) == 0)
        region.base.storeBytes(of: 9, as: UInt64.self)
        try region.discard(0..<region.byteCount)
        #expect(region.base.load(as: UInt64.self) == 0)
    }

    @Test func `a futex sleeps, times out, and sees a change`() throws {
        let region = try MappedRegion(byteCount: 4096)
        // SAFETY: the word outlives both threads: `region` is used to the end of the test.
        nonisolated(unsafe) let word = region.base.assumingMemoryBound(to: UInt32.self)
        #expect(Futex.wait(word, expected: 1) == .changed)
        #expect(Futex.wait(word, expected: 0, timeout: .milliseconds(5)) == .timedOut)
        let waker = NamedThread.start("waker") {
            // Until the sleeper is really asleep.
            while Futex.wake(word, count: 1) == 0 { usleep(1000) }
        }
        #expect(Futex.wait(word, expected: 0, timeout: .seconds(30)) == .woken)
        waker.join()
        #expect(region.byteCount == 4096)
    }

    @Test func `the process can mark itself`() throws {
        // CAP_SYS_RESOURCE, bit 24: some containers keep it from root.
        let status = try readText("/proc/self/status").split(separator: "\n")
        let line = try #require(status.first { $0.hasPrefix("CapEff:") })
        let rights = try #require(UInt64(line.split(separator: "\t")[1], radix: 16))
        let isAllowed = rights & 1 << 24 != 0
        // The flag belongs to the thread, so the test spends a thread of its own on it.
        let seen = Mutex<(before: Bool, after: Bool, error: Errno?)>((true, false, nil))
        NamedThread.start("flusher") {
            let before = ProcessFlags.isIOFlusher
            var failure: Errno?
            do throws(Errno) { try ProcessFlags.setIOFlusher() } catch { failure = error }
            let result = (before, ProcessFlags.isIOFlusher, failure)
            seen.withLock { $0 = result }
        }.join()
        seen.withLock { seen in
            #expect(!seen.before)
            #expect(seen.after == isAllowed)
            #expect(seen.error == (isAllowed ? nil : .notPermitted))
        }
        let score = try ProcessFlags.oomScoreAdjust()
        try ProcessFlags.setOOMScoreAdjust(score)
        #expect(try ProcessFlags.raiseFileLimit(to: 4096) >= 4096)
    }
}

private final class Counter: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }
    func add() { count.withLock { $0 += 1 } }
}

@Suite struct BlockingThreadsTests {
    struct Failed: Error, Equatable { let number: Int }

    @Test func `calls run on threads of their own and come back with answers and errors`() async throws {
        let threads = BlockingThreads(name: "test", count: 4)
        defer { threads.shutdown() }
        let sum = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<1000 {
                group.addTask {
                    try await threads.run { () throws(Failed) in
                        if number < 0 { throw Failed(number: number) }
                        return number
                    }
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(sum == 499_500)
        await #expect(throws: Failed(number: 7)) {
            try await threads.run { () throws(Failed) in throw Failed(number: 7) }
        }
    }

    @Test func `as many calls block at the same time as there are threads`() async {
        let threads = BlockingThreads(name: "test", count: 3)
        defer { threads.shutdown() }
        let inside = Counter()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    await threads.run {
                        inside.add()
                        // Ends only because all three are here at once.
                        while inside.value < 3 { usleep(500) }
                    }
                }
            }
        }
        #expect(inside.value == 3)
    }

    @Test func `no call is lost when a shutdown overtakes it`() async {
        for _ in 0..<20 {
            let threads = BlockingThreads(name: "test", count: 2)
            let answers = await withTaskGroup(of: Int.self) { group in
                for number in 0..<50 { group.addTask { await threads.run { number } } }
                group.addTask {
                    threads.shutdown()
                    return 0
                }
                return await group.reduce(0, +)
            }
            #expect(answers == 1225)
            #expect(await threads.run { 5 } == 5)
        }
    }
}

private actor OwnThread {
    nonisolated let executor: ThreadExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    private var count = 0
    private var names: Set<String> = []

    init(_ executor: ThreadExecutor) { self.executor = executor }

    func step() {
        count += 1
        names.insert((try? readText("/proc/thread-self/comm")) ?? "")
        executor.checkIsolated()
        assertIsolated()
    }

    func stayHere(_ threads: BlockingThreads) async -> Bool {
        let before = executor.isCurrent
        _ = await threads.run { usleep(100) }
        return before && executor.isCurrent
    }

    var result: (Int, Set<String>) { (count, names) }
}

@Suite struct ThreadExecutorTests {
    @Test func `an actor lives on its thread`() async {
        let executor = ThreadExecutor(name: "own-thread", capacity: 4)
        let actor = OwnThread(executor)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<1000 { group.addTask { await actor.step() } }
        }
        let (count, names) = await actor.result
        #expect(count == 1000)
        #expect(names == ["own-thread"])
        #expect(!executor.isCurrent)
        let threads = BlockingThreads(name: "test", count: 1)
        #expect(await actor.stayHere(threads))
        threads.shutdown()
        executor.stop()
    }

    @Test func `no job is lost when a stop overtakes it`() async {
        for _ in 0..<20 {
            let executor = ThreadExecutor(name: "stopping")
            let actor = OwnThread(executor)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<50 { group.addTask { await actor.step() } }
                group.addTask { executor.stop() }
            }
            await actor.step()
            #expect(await actor.result.0 == 51)
            executor.stop()
        }
    }
}

@Suite struct SubprocessTests {
    @Test func `a program's output and status come back`() async throws {
        let threads = BlockingThreads(name: "test", count: 1)
        defer { threads.shutdown() }
        let good = try await Subprocess.run(["echo", "a b", "$HOME"], timeoutSeconds: 10, on: threads)
        #expect(good.isSuccess && good.output == "a b $HOME\n")
        let bad = try await Subprocess.run(["ls", "/no/such"], timeoutSeconds: 10, on: threads)
        #expect(bad.status == 2 && bad.lastLine.contains("No such file"))
        await #expect(throws: SubprocessError.notFound("no-such-program")) {
            try await Subprocess.run(["no-such-program"], timeoutSeconds: 1, on: threads)
        }
        await #expect(throws: SubprocessError.timedOut("sleep", seconds: 1)) {
            try await Subprocess.run(["sleep", "60"], timeoutSeconds: 1, on: threads)
        }
        let long = try await Subprocess.run(["head", "-c", "1000000", "/dev/zero"], timeoutSeconds: 10, on: threads)
        #expect(long.isSuccess && long.output.utf8.count == Subprocess.outputBytesMax)
        let files = try await Subprocess.run(["ls", "/proc/self/fd"], timeoutSeconds: 10, on: threads)
        #expect(files.output == "0\n1\n2\n3\n")
    }
}
