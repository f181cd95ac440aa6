#include "Fixture.h"

#include <thread>

namespace strobe {

namespace {

const auto stream_a = reinterpret_cast<cuda::Stream>(uintptr_t(0xa000));
const auto stream_b = reinterpret_cast<cuda::Stream>(uintptr_t(0xb000));

/** Splits the work: partial results (a byte a key) in a plain workspace, a counter in a zeroed one. */
KernelPackage split_package() {
    KernelPackage package = sample_package();
    LaunchPlan &plan = package.plans[0];
    plan.workspaces = {{{{1, 1, 1}}, 1, false}, {{{0, 2, 1}}, 4, true}};
    plan.tensor_maps.clear();
    plan.kernels[0].params = {{ParamSpec::Kind::Workspace, 0, 0}, {ParamSpec::Kind::Workspace, 1, 0}};
    plan.kernels.push_back(plan.kernels[0]);
    plan.kernels[1].entry = "combine";
    return package;
}

class OnStreams : public OnFakeCuda {
protected:
    struct Seen {
        uint64_t plain, zeroed;
    };

    OnStreams() : loaded(split_package()) {
        fake.param_sizes["attend"] = fake.param_sizes["combine"] = {8, 8};
    }
    ~OnStreams() override {
        fake.capturing.clear();
    }

    Seen on(cuda::Stream stream, int keys = 1000, int heads = 4) {
        launch(loaded, sample_tensors(1000, keys, heads), sample_scalars, {}, stream);
        const FakeLaunch &first = fake.launches[fake.launches.size() - 2], &second = fake.launches.back();
        EXPECT_EQ(first.entry, "attend");
        EXPECT_EQ(second.entry, "combine");
        EXPECT_EQ(first.params, second.params);
        return {first.param<uint64_t>(0), first.param<uint64_t>(1)};
    }

    LoadedPackage loaded;
};

TEST_F(OnStreams, AStreamKeepsItsMemory) {
    const Seen first = on(stream_a);
    const int allocations = fake.count("cuMemAlloc_v2"), waits = fake.count("cuStreamSynchronize");
    for (int i = 0; i < 10; i++) {
        const Seen again = on(stream_a);
        EXPECT_EQ(again.plain, first.plain);
        EXPECT_EQ(again.zeroed, first.zeroed);
    }
    EXPECT_EQ(fake.count("cuMemAlloc_v2"), allocations);
    EXPECT_EQ(fake.count("cuStreamSynchronize"), waits);
}

TEST_F(OnStreams, StreamsShareNothing) {
    const Seen a = on(stream_a), b = on(stream_b), null = on(nullptr);
    EXPECT_NE(a.plain, b.plain);
    EXPECT_NE(a.zeroed, b.zeroed);
    EXPECT_NE(a.plain, null.plain);
    EXPECT_NE(a.zeroed, null.zeroed);
}

TEST_F(OnStreams, PerThreadStreamsShareNothing) {
    const auto per_thread = reinterpret_cast<cuda::Stream>(uintptr_t(2));
    const Seen here = on(per_thread);
    Seen there = {};
    std::thread([&] { there = on(per_thread); }).join();
    EXPECT_NE(here.plain, there.plain);
    EXPECT_NE(here.zeroed, there.zeroed);
}

TEST_F(OnStreams, MemoryGrowsAndIsFreedOnceIdle) {
    const Seen small = on(stream_a, 1000);
    EXPECT_EQ(on(stream_a, 1200).plain, small.plain) << "there was room for half as much again";
    const int waits = fake.count("cuStreamSynchronize");
    const Seen large = on(stream_a, 100000);
    EXPECT_GE(fake.allocations.at(large.plain), 100000u);
    EXPECT_FALSE(fake.allocations.count(small.plain));
    EXPECT_EQ(fake.count("cuStreamSynchronize"), waits + 1);
    EXPECT_EQ(on(stream_a, 10).plain, large.plain);
}

TEST_F(OnStreams, AReusedHandleIsANewStream) {
    fake.stream_ids[stream_a] = 1;
    const Seen before = on(stream_a);
    fake.stream_ids[stream_a] = 2;
    const Seen after = on(stream_a);
    EXPECT_NE(after.zeroed, before.zeroed);
    EXPECT_FALSE(fake.allocations.count(before.plain)) << "freeing waits for the old stream's kernels";
}

TEST_F(OnStreams, ManyCountersFitTheFirstPool) {
    on(stream_a);
    const int allocations = fake.count("cuMemAlloc_v2");
    std::set<uint64_t> seen;
    for (uintptr_t i = 1; i <= 3000; i++) {
        seen.insert(on(reinterpret_cast<cuda::Stream>(0x100000 + 16 * i)).zeroed);
    }
    EXPECT_EQ(seen.size(), 3000u);
    EXPECT_EQ(fake.count("cuMemAlloc_v2"), allocations + 3000) << "each stream has its plain memory";
    // More counters than the pool holds, all zero.
    const Seen wide = on(stream_a, 1000, 600000);
    bool clear = false;
    for (uint64_t address : fake.cleared) {
        clear |= wide.zeroed >= address && wide.zeroed + 2400000 <= address + fake.allocations[address];
    }
    EXPECT_TRUE(clear);
}

TEST_F(OnStreams, CapturedLaunchesHaveMemoryOfTheirOwn) {
    const Seen eager = on(stream_a);
    fake.capturing[stream_a] = 1;
    const Seen captured = on(stream_a);
    EXPECT_NE(captured.plain, eager.plain);
    EXPECT_NE(captured.zeroed, eager.zeroed);
    const Seen next = on(stream_a);
    EXPECT_EQ(next.plain, captured.plain) << "the graph runs the launches of one stream in order";
    EXPECT_EQ(next.zeroed, captured.zeroed);
    fake.capturing[stream_b] = 1;  // forked from stream_a: a parallel branch of the graph
    EXPECT_NE(on(stream_b).plain, captured.plain);

    const Seen grown = on(stream_a, 100000);
    EXPECT_NE(grown.plain, captured.plain);
    EXPECT_TRUE(fake.allocations.count(captured.plain)) << "earlier nodes of the graph still use it";

    fake.capturing = {{stream_a, 2}};
    const Seen other_graph = on(stream_a);
    EXPECT_NE(other_graph.plain, grown.plain);
    EXPECT_NE(other_graph.zeroed, captured.zeroed);
    fake.capturing.clear();
    EXPECT_EQ(on(stream_a).plain, eager.plain);
    EXPECT_EQ(on(stream_a).zeroed, eager.zeroed);
}

TEST_F(OnStreams, TheFirstLaunchMayBeCaptured) {
    fake.capturing[stream_b] = 1;
    on(stream_b);  // loads the code and allocates: the fixture checks that nothing breaks the capture
    EXPECT_EQ(fake.modules, 1);
}

TEST_F(OnStreams, LaunchesBesideAForeignCapture) {
    fake.capturing[stream_b] = 1;
    on(stream_a);
    on(stream_a, 100000);
    EXPECT_EQ(fake.launch_count, 4);
}

TEST_F(OnStreams, TheCallerMayBringMemory) {
    const auto tensors = sample_tensors(1000, 1000);
    const uint64_t bytes = loaded.workspace_bytes(tensors.data(), int(tensors.size()));
    EXPECT_EQ(bytes, 1024u);
    LaunchOptions options;
    options.workspace = 0x123400;
    options.workspace_bytes = bytes;
    launch(loaded, tensors, sample_scalars, options);
    EXPECT_EQ(fake.launches.back().param<uint64_t>(0), options.workspace);
    EXPECT_NE(fake.launches.back().param<uint64_t>(1), options.workspace);
    EXPECT_EQ(fake.count("cuMemAlloc_v2"), 1) << "only the runtime's counters";
}

}  // namespace

}  // namespace strobe
