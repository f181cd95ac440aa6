#include "Fixture.h"

namespace strobe {

namespace {

using Launch = OnFakeCuda;

TEST_F(Launch, PassesEveryKindOfParameter) {
    LoadedPackage loaded(sample_package());
    const auto tensors = sample_tensors();
    EXPECT_EQ(launch(loaded, tensors), 0);

    ASSERT_EQ(fake.launches.size(), 1u);
    const FakeLaunch &seen = fake.launches[0];
    EXPECT_EQ(seen.entry, "attend");
    EXPECT_EQ(seen.threads, 384u);
    EXPECT_EQ(seen.shared, 200000u);
    EXPECT_EQ(seen.stream, sample_stream);
    EXPECT_EQ(seen.blocks, 8u * 4 * 2);      // ceil(1000 / 128) query tiles, 4 heads, 2 batches: fewer than 132
    EXPECT_EQ(seen.param<uint64_t>(0), 1u);  // the fake numbers the maps as they are made
    EXPECT_EQ(seen.param<uint64_t>(1), 2u);
    EXPECT_EQ(seen.param<uint64_t>(2), 3u);
    EXPECT_EQ(seen.param<uint64_t>(3), tensors[3].address);
    EXPECT_EQ(seen.param<int32_t>(4), 1000);
    EXPECT_EQ(seen.param<int64_t>(5), 64 * 1000);
    EXPECT_EQ(seen.param<float>(6), 0.125f);
    EXPECT_EQ(seen.param<int32_t>(7), 256);
    EXPECT_EQ(seen.param<int32_t>(8), 64);
}

TEST_F(Launch, PassesMinAndWorkspaces) {
    KernelPackage package = sample_package();
    LaunchPlan &plan = package.plans[0];
    plan.workspaces = {{{{0, 1, 1}}, 4, false}, {{{-1, 0, 3}}, 4, true}, {{{-1, 0, 100}}, 4, false}};
    plan.kernels[0].params = {{ParamSpec::Kind::Min, 3, 1},
                              {ParamSpec::Kind::Workspace, 0, 0},
                              {ParamSpec::Kind::Workspace, 1, 0},
                              {ParamSpec::Kind::Workspace, 2, 0}};
    fake.param_sizes["attend"] = {4, 8, 8, 8};
    LoadedPackage loaded(package);
    auto tensors = sample_tensors();
    tensors[3].mins[1] = -7;
    launch(loaded, tensors);
    ASSERT_EQ(fake.launches.size(), 1u);
    const FakeLaunch &seen = fake.launches[0];
    EXPECT_EQ(seen.param<int32_t>(0), -7);
    const uint64_t plain = seen.param<uint64_t>(1), zeroed = seen.param<uint64_t>(2);
    EXPECT_GE(fake.allocations.at(plain), 4096u + 512);
    EXPECT_EQ(seen.param<uint64_t>(3), plain + 4096);  // 1000 words, rounded up to 256 bytes
    bool clear = false;
    for (uint64_t address : fake.cleared) {
        clear |= zeroed >= address && zeroed + 12 <= address + fake.allocations[address];
    }
    EXPECT_TRUE(clear) << "the zeroed workspace at " << zeroed << " was not set to zero";
}

TEST_F(Launch, ConvertsScalars) {
    const struct {
        ElementType type;
        double value;
        uint64_t bits;
    } cases[] = {
        {{0, 8}, -3, 0xfd},
        {{0, 16}, -3, 0xfffd},
        {{0, 32}, -3, 0xfffffffd},
        {{0, 64}, -3, 0xfffffffffffffffd},
        {{1, 1}, 1, 1},
        {{1, 8}, 255, 0xff},
        {{1, 64}, 4294967296.0, 0x100000000},
        {{2, 32}, 0.1, 0x3dcccccd},
        {{2, 64}, 0.1, 0x3fb999999999999a},
        {{4, 16}, 1.0, 0x3f80},
        {{4, 16}, 1.00390625, 0x3f80},  // halfway to the next: to even
        {{4, 16}, 1.01171875, 0x3f82},
        {{4, 16}, -INFINITY, 0xff80},
        {{2, 16}, 1.0, 0x3c00},
        {{2, 16}, -2.5, 0xc100},
        {{2, 16}, 65504, 0x7bff},
        {{2, 16}, 65519, 0x7bff},
        {{2, 16}, 65520, 0x7c00},
        {{2, 16}, 2047.0 / 2048, 0x3bff},
        {{2, 16}, 4095.0 / 4096, 0x3c00},     // rounds up to the next power of two
        {{2, 16}, 5.960464477539063e-08, 1},  // the smallest
        {{2, 16}, 2.9e-08, 0},
        {{2, 16}, 6.103515625e-05, 0x400},
        {{2, 16}, -0.0, 0x8000},
    };
    for (const auto &c : cases) {
        uint64_t got = 0;
        EXPECT_EQ(write_scalar(c.type, c.value, &got), c.type.bytes());
        EXPECT_EQ(got, c.bits) << name_of(c.type) << " of " << c.value << std::hex << ": got " << got << ", expected "
                               << c.bits;
    }
}

TEST_F(Launch, PersistentGridFillsTheDevice) {
    KernelPackage package = sample_package();
    package.plans[0].kernels[0].blocks_per_sm = 2;
    LoadedPackage loaded(package);
    launch(loaded, sample_tensors(100000));
    EXPECT_EQ(fake.launches.back().blocks, 264u);
    EXPECT_EQ(fake.launches.back().param<int32_t>(8), 264);
    launch(loaded, sample_tensors(1, 1, 1, 1));
    EXPECT_EQ(fake.launches.back().blocks, 1u);
}

TEST_F(Launch, OneBlockAUnitBeyondGridLimits) {
    KernelPackage package = sample_package();
    package.plans[0].kernels[0].persistent = false;
    LoadedPackage loaded(package);
    for (int64_t heads : {65535, 65536, 131072}) {
        launch(loaded, sample_tensors(200, 10, int(heads), 1));
        const FakeLaunch &seen = fake.launches.back();
        EXPECT_EQ(seen.blocks, unsigned(2 * heads));
        EXPECT_EQ(seen.grid_y, 1u);
        EXPECT_EQ(seen.grid_z, 1u);
    }
}

TEST_F(Launch, NothingToDoLaunchesNothing) {
    LoadedPackage loaded(sample_package());
    for (auto tensors : {sample_tensors(0), sample_tensors(100, 100, 0), sample_tensors(100, 100, 4, 0)}) {
        for (TensorArgument &tensor : tensors) {
            tensor.address = tensor.empty() ? 0 : tensor.address;
        }
        launch(loaded, tensors);
    }
    EXPECT_EQ(fake.launch_count, 0);
}

TEST_F(Launch, NoKeysStillLaunches) {
    LoadedPackage loaded(sample_package());
    auto tensors = sample_tensors(100, 0);
    tensors[1].address = tensors[2].address = 0;
    launch(loaded, tensors);
    ASSERT_EQ(fake.launch_count, 1);
    ASSERT_EQ(fake.maps.size(), 2u);  // of query; of key and value one map, since both show the same nothing
    const FakeTensorMap &key = fake.maps[1];
    EXPECT_EQ(key.sizes, (std::vector<uint64_t>{1, 1, 1, 1}));
    EXPECT_TRUE(fake.allocations.count(key.address)) << "the map of an empty tensor must show valid memory";
}

TEST_F(Launch, SkipsKernelsWithoutWork) {
    KernelPackage package = sample_package();
    KernelSpec summarise = package.plans[0].kernels[0];
    summarise.entry = "summarise";
    summarise.params = {{ParamSpec::Kind::GridSize, 0, 0}};
    summarise.work = {{1, 1, 128}};
    summarise.persistent = false;
    package.plans[0].kernels.insert(package.plans[0].kernels.begin(), summarise);
    fake.param_sizes["summarise"] = {4};
    LoadedPackage loaded(package);
    launch(loaded, sample_tensors(100, 0));
    ASSERT_EQ(fake.launch_count, 1);
    EXPECT_EQ(fake.launches[0].entry, "attend");
    launch(loaded, sample_tensors(100, 300));
    ASSERT_EQ(fake.launch_count, 3);
    EXPECT_EQ(fake.launches[1].entry, "summarise");
    EXPECT_EQ(fake.launches[1].param<int32_t>(0), 3);
    EXPECT_EQ(fake.launches[2].entry, "attend");
}

TEST_F(Launch, OverlapsOnlyItsOwnKernels) {
    KernelPackage package = sample_package();
    package.plans[0].kernels[0].overlaps = true;
    KernelSpec summarise = package.plans[0].kernels[0];
    summarise.entry = "summarise";
    summarise.params = {{ParamSpec::Kind::GridSize, 0, 0}};
    summarise.work = {{1, 1, 128}};
    package.plans[0].kernels.insert(package.plans[0].kernels.begin(), summarise);
    fake.param_sizes["summarise"] = {4};
    LoadedPackage loaded(package);
    launch(loaded, sample_tensors(100, 300));
    launch(loaded, sample_tensors(100, 0));  // only "attend" has work
    ASSERT_EQ(fake.launch_count, 3);
    EXPECT_FALSE(fake.launches[0].overlaps) << "the first kernel must wait for what the caller put on the stream";
    EXPECT_TRUE(fake.launches[1].overlaps);
    EXPECT_FALSE(fake.launches[2].overlaps);
}

TEST_F(Launch, GivesUpZeroedMemoryWhenALaunchFailsHalfway) {
    KernelPackage package = sample_package();
    KernelSpec summarise = package.plans[0].kernels[0];
    summarise.entry = "summarise";
    package.plans[0].kernels.insert(package.plans[0].kernels.begin(), summarise);
    package.plans[0].kernels[0].params = {{ParamSpec::Kind::Workspace, 0, 0}};
    WorkspaceSpec counter;
    counter.zeroed = true;
    package.plans[0].workspaces = {counter};
    fake.param_sizes["summarise"] = {8};
    LoadedPackage loaded(package);
    launch(loaded, sample_tensors());
    launch(loaded, sample_tensors());
    EXPECT_EQ(fake.launches[0].param<uint64_t>(0), fake.launches[2].param<uint64_t>(0));
    fake.fail_with["attend"] = 700;
    EXPECT_THROW(launch(loaded, sample_tensors()), RuntimeFailure);
    fake.fail_with.clear();
    launch(loaded, sample_tensors());
    EXPECT_NE(fake.launches[0].param<uint64_t>(0), fake.launches[6].param<uint64_t>(0));
}

TEST_F(Launch, EncodesTensorMaps) {
    LoadedPackage loaded(sample_package());
    auto tensors = sample_tensors();
    tensors[0].strides[1] = 4 * 64;  // (feature, head, sequence, batch) in memory
    tensors[0].strides[2] = 64;
    launch(loaded, tensors);
    ASSERT_EQ(fake.maps.size(), 3u);
    const FakeTensorMap &query = fake.maps[0];
    EXPECT_EQ(query.type, 9);  // bf16
    EXPECT_EQ(query.rank, 4u);
    EXPECT_EQ(query.address, tensors[0].address);
    EXPECT_EQ(query.sizes, (std::vector<uint64_t>{64, 1000, 4, 2}));
    EXPECT_EQ(query.strides, (std::vector<uint64_t>{512, 128, 512000}));
    EXPECT_EQ(query.box, (std::vector<uint32_t>{64, 128, 1, 1}));
    EXPECT_EQ(query.element_strides, (std::vector<uint32_t>{1, 1, 1, 1}));
    EXPECT_EQ(query.swizzle, 3);
    EXPECT_EQ(query.promotion, 2);
    EXPECT_EQ(query.interleave, 0);
    EXPECT_EQ(query.fill, 0);
}

TEST_F(Launch, MapsOfSingleElementsTakeAnyStride) {
    LoadedPackage loaded(sample_package());
    auto tensors = sample_tensors(1, 500, 1, 1);
    for (int d : {1, 2, 3}) {
        tensors[0].strides[d] = d == 1 ? 3 : d == 2 ? 0 : -5;
    }
    launch(loaded, tensors);
    ASSERT_EQ(fake.maps.size(), 3u);
    for (uint64_t stride : fake.maps[0].strides) {
        EXPECT_EQ(stride % 16, 0u);
        EXPECT_GT(stride, 0u);
    }
}

TEST_F(Launch, EncodesMapsOncePerArguments) {
    LoadedPackage loaded(sample_package());
    const auto tensors = sample_tensors();
    launch(loaded, tensors);
    launch(loaded, tensors);
    EXPECT_EQ(fake.maps.size(), 3u);
    EXPECT_EQ(fake.launches[1].param<uint64_t>(1), 2u);

    auto moved = tensors;
    moved[1].address += 128;
    launch(loaded, moved);
    EXPECT_EQ(fake.maps.size(), 4u);
    EXPECT_EQ(fake.launches[2].param<uint64_t>(1), 4u);
    EXPECT_EQ(fake.launches[2].param<uint64_t>(0), 1u);

    auto shorter = tensors;
    shorter[1].sizes[1] = shorter[2].sizes[1] = 400;  // same address, same strides
    launch(loaded, shorter);
    EXPECT_EQ(fake.maps.size(), 6u);
    launch(loaded, tensors);
    for (size_t i = 0; i < 3; i++) {
        const FakeTensorMap &map = fake.maps[fake.launches.back().param<uint64_t>(i) - 1];
        EXPECT_EQ(map.address, tensors[i].address);
        EXPECT_EQ(map.sizes[1], uint64_t(tensors[i].sizes[1]));
    }
}

TEST_F(Launch, LoadsOncePerContext) {
    {
        LoadedPackage loaded(sample_package());
        loaded.load();
        EXPECT_EQ(fake.modules, 1);
        EXPECT_EQ(fake.shared_limits["attend"], 200000);
        EXPECT_EQ(std::string(fake.image.begin(), fake.image.end()), "\x7f"
                                                                     "ELF");
        launch(loaded, sample_tensors());
        EXPECT_EQ(fake.modules, 1);
        fake.context_number = 8;
        launch(loaded, sample_tensors());
        EXPECT_EQ(fake.modules, 2);
        fake.context_number = 7;
        launch(loaded, sample_tensors());
        EXPECT_EQ(fake.modules, 2);
        EXPECT_NE(fake.launches[0].context, fake.launches[1].context);
        EXPECT_EQ(fake.launches[0].context, fake.launches[2].context);
    }
    EXPECT_EQ(fake.modules, 0);
    EXPECT_TRUE(fake.allocations.empty()) << fake.allocations.size() << " allocations are left";
}

TEST_F(Launch, GrantsTheMostSharedMemoryOfAllPlans) {
    KernelPackage package = sample_package();
    package.plans.push_back(package.plans[0]);
    package.plans[1].kernels[0].shared_bytes = 100000;
    LoadedPackage loaded(package);
    for (int plan : {0, 1}) {
        LaunchOptions options;
        options.plan = plan;
        launch(loaded, sample_tensors(), sample_scalars, options);
    }
    EXPECT_EQ(fake.shared_limits["attend"], 200000);
}

}  // namespace

}  // namespace strobe
