#include "Fixture.h"

#include <atomic>
#include <thread>

namespace strobe {

namespace {

using Threads = OnFakeCuda;

TEST_F(Threads, LaunchAtOnce) {
    KernelPackage package = sample_package();
    LaunchPlan &plan = package.plans[0];
    plan.workspaces = {{{{1, 1, 1}}, 1, false}, {{}, 4, true}};
    plan.kernels.push_back(plan.kernels[0]);
    plan.kernels[1].entry = "combine";
    plan.kernels[1].params = {
        {ParamSpec::Kind::Workspace, 0, 0}, {ParamSpec::Kind::Workspace, 1, 0}, {ParamSpec::Kind::Extent, 0, 1}};
    fake.param_sizes["combine"] = {8, 8, 4};
    LoadedPackage loaded(package);
    constexpr int threads = 8, rounds = 200;
    std::atomic<int> failures{0};
    std::vector<std::thread> running;
    for (int i = 0; i < threads; i++) {
        running.emplace_back([&, i] {
            // Two threads share a stream; each has lengths of its own.
            const auto stream = reinterpret_cast<cuda::Stream>(uintptr_t(0x100 * (1 + i / 2)));
            for (int round = 0; round < rounds; round++) {
                try {
                    auto tensors = sample_tensors(100 + i, 100 + 10 * round);
                    loaded.launch(tensors.data(), int(tensors.size()), sample_scalars.data(), 2, stream);
                } catch (const std::exception &e) {
                    failures++;
                }
            }
        });
    }
    for (std::thread &thread : running) {
        thread.join();
    }
    EXPECT_EQ(failures, 0);
    EXPECT_EQ(fake.modules, 1);
    ASSERT_EQ(fake.launch_count, threads * rounds * 2);
    // On every stream the kernels of a launch follow one another: a second kernel
    // reads what the first one left in the stream's workspace.
    std::map<void *, const FakeLaunch *> open;
    std::map<uint64_t, void *> owner;
    for (const FakeLaunch &seen : fake.launches) {
        if (seen.entry == "attend") {
            EXPECT_EQ(open[seen.stream], nullptr);
            open[seen.stream] = &seen;
            continue;
        }
        ASSERT_NE(open[seen.stream], nullptr);
        EXPECT_EQ(open[seen.stream]->param<int32_t>(4), seen.param<int32_t>(2));
        open[seen.stream] = nullptr;
        void *&of = owner.emplace(seen.param<uint64_t>(1), seen.stream).first->second;
        EXPECT_EQ(of, seen.stream) << "two streams share a workspace";
    }
}

}  // namespace

}  // namespace strobe
