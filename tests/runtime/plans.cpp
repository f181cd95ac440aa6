#include "Fixture.h"

namespace strobe {

namespace {

/** Two plans: tiles of 128 rows, and tiles of 64 that cost 0.55 as much. */
KernelPackage two_plans() {
    KernelPackage package = sample_package();
    LaunchPlan small = package.plans[0];
    small.query_tile = 64;
    small.kernels[0].work[0].divisor = 64;
    small.cost_per_unit = 0.55;
    package.plans.push_back(small);
    return package;
}

class Plans : public OnFakeCuda {
protected:
    int chosen(LoadedPackage &loaded, int queries, int heads) {
        return launch(loaded, sample_tensors(queries, 512, heads, 1));
    }
};

TEST_F(Plans, TakesTheFewestRounds) {
    LoadedPackage loaded(two_plans());
    // 132 slots. 132 tiles of 128 rows: one round at 1, against two at 0.55.
    EXPECT_EQ(chosen(loaded, 128, 132), 0);
    // 66 tiles of 128 rows: one round at 1; 132 of 64: one at 0.55.
    EXPECT_EQ(chosen(loaded, 128, 66), 1);
    // 198 of 128 rows: two rounds at 1; 396 of 64: three at 0.55.
    EXPECT_EQ(chosen(loaded, 128 * 3, 66), 1);
    // Many rounds: the larger tile is cheaper a row.
    EXPECT_EQ(chosen(loaded, 128 * 100, 132), 0);
}

/** Tiles of 160 keys cost less a key, but a short last one wastes more, and a block begins later. */
TEST_F(Plans, DependOnTheLength) {
    KernelPackage package = sample_package();
    LaunchPlan wide = package.plans[0];
    package.plans[0].steps = {{1, 1, 128}};
    package.plans[0].cost_per_step = 1;
    wide.steps = {{1, 1, 160}};
    wide.cost_per_step = 1.2;
    wide.cost_per_unit = 3;
    package.plans.push_back(wide);
    LoadedPackage loaded(package);
    const auto chosen = [&](int keys) { return launch(loaded, sample_tensors(128, keys, 16, 1)); };
    EXPECT_EQ(chosen(1024), 0) << "1 + 8 against 3 + 7 * 1.2";
    EXPECT_EQ(chosen(1281), 0) << "1 + 11 against 3 + 9 * 1.2";
    EXPECT_EQ(chosen(16384), 1) << "1 + 128 against 3 + 103 * 1.2";
    EXPECT_EQ(chosen(0), 0) << "1 against 3";
    EXPECT_EQ(fake.modules, 1) << "one module holds the kernels of all plans";
}

/** Where parts of each row's keys are walked by blocks of their own, a short kernel that merges them comes last. */
TEST_F(Plans, CountTheUnitsOfTheKernelThatTakesTheMost) {
    KernelPackage package = sample_package();
    LaunchPlan parts = package.plans[0];
    package.plans[0].steps = {{1, 1, 16}};
    package.plans[0].cost_per_step = 1;
    parts.kernels.push_back(parts.kernels[0]);
    parts.kernels[0].work.push_back({-1, 0, 4});
    parts.steps = {{1, 1, 64}};
    parts.cost_per_step = 1;
    parts.cost_per_unit = 3;
    parts.counted_kernel = 0;
    package.plans.push_back(parts);
    LoadedPackage loaded(package);
    const auto chosen = [&](int heads) { return launch(loaded, sample_tensors(128, 1024, heads, 1)); };
    EXPECT_EQ(chosen(33), 1) << "a round of 1 + 64 against one of 3 + 16";
    EXPECT_EQ(chosen(86), 1) << "against three";
    EXPECT_EQ(chosen(132), 0) << "against four";
    EXPECT_EQ(chosen(140), 1) << "two rounds against five";
}

TEST_F(Plans, DependOnTheDevice) {
    fake.multiprocessors = 66;
    LoadedPackage loaded(two_plans());
    EXPECT_EQ(chosen(loaded, 128, 66), 0);
    EXPECT_EQ(chosen(loaded, 64, 66), 1);
}

TEST_F(Plans, TheFirstWinsATie) {
    KernelPackage package = sample_package();
    package.plans.push_back(package.plans[0]);
    LoadedPackage loaded(package);
    EXPECT_EQ(chosen(loaded, 1000, 16), 0);
}

TEST_F(Plans, CanBeForced) {
    LoadedPackage loaded(two_plans());
    for (int plan : {0, 1}) {
        LaunchOptions options;
        options.plan = plan;
        EXPECT_EQ(launch(loaded, sample_tensors(100, 512, 1, 1), sample_scalars, options), plan);
        EXPECT_EQ(fake.launches.back().blocks, plan == 0 ? 1u : 2u);
    }
}

TEST_F(Plans, ThatCannotReadTheTensorsAreLeftOut) {
    KernelPackage package = two_plans();
    package.plans[1].cost_per_unit = 100;
    package.plans[1].tensor_maps.clear();
    package.plans[1].kernels[0].entry = "combine";
    package.plans[1].kernels[0].params = {{ParamSpec::Kind::Pointer, 0, 0}};
    LoadedPackage loaded(package);
    auto tensors = sample_tensors();
    EXPECT_EQ(launch(loaded, tensors), 0);
    tensors[0].address += 2;
    EXPECT_EQ(launch(loaded, tensors), 1);
    EXPECT_EQ(fake.launches.back().entry, "combine");
}

}  // namespace

}  // namespace strobe
