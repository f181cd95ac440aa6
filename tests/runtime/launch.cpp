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
    EXPECT_EQ(seen.blocks, 8u * 4 * 2);  // ceil(1000 / 128) query tiles, 4 heads, 2 batches: fewer than 132
    EXPECT_EQ(seen.param<uint64_t>(0), 1u);  // the fake numbers the maps as they are made
    EXPECT_EQ(seen.param<uint64_t>(1), 2u);
    EXPECT_EQ(seen.param<uint64_t>(2), 3u);
    EXPECT_EQ(seen.param<uint64_t>(3), 0x40000000u);
    EXPECT_EQ(seen.param<int32_t>(4), 1000);
    EXPECT_EQ(seen.param<int64_t>(5), 64 * 1000);
    EXPECT_EQ(seen.param<float>(6), 0.125f);
    EXPECT_EQ(seen.param<int32_t>(7), 256);
    EXPECT_EQ(seen.param<int32_t>(8), 64);
}

}  // namespace

}  // namespace strobe
