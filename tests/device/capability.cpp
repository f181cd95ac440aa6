// The capability table, and how targets find their row.

#include "device/Capability.h"

#include "support/Error.h"
#include "support/NearestName.h"

#include <gtest/gtest.h>

using namespace strobe;
using Halide::Target;

namespace {

/** Peak TFLOP/s follow from clocks, multiprocessors and multiply-adds. */
double peak_tflops(const Capability &c) {
    return 2e-3 * c.multiprocessors * c.boost_ghz * c.matrix_units[0].fma_16bit;
}

TEST(Capability, PeaksAreThoseOfTheDataSheets) {
    EXPECT_NEAR(peak_tflops(capability_of("sm_90a")), 989, 5);
    EXPECT_NEAR(peak_tflops(capability_of("sm_80")), 312, 3);
}

TEST(Capability, ByName) {
    EXPECT_EQ(capability_of("sm_90").name, "sm_90a");
    EXPECT_EQ(capability_of("cuda-sm_90a").name, "sm_90a");
    EXPECT_FALSE(capability_of("cpu").is_gpu());
    EXPECT_EQ(capability_of("x86-64-linux-avx-avx2-f16c-fma-sse41").name, "x86-avx2");
    EXPECT_EQ(capability_of("x86-avx512").float_lanes(), 16);
}

TEST(Capability, ByTarget) {
    const Target cpu("x86-64-linux-avx-avx2-f16c-fma-sse41");
    EXPECT_EQ(capability_of(cpu).name, "x86-avx2");
    EXPECT_EQ(capability_of(cpu.with_feature(Target::CUDA)).name, "sm_90a") << "Halide has no name for 9.0";
    EXPECT_EQ(capability_of(cpu.with_feature(Target::CUDA).with_feature(Target::CUDACapability80)).name, "sm_80");
    EXPECT_EQ(capability_of(Target("arm-64-linux")).name, "arm-neon");
}

TEST(Capability, GpuRowsAreComplete) {
    for (const char *name : {"sm_80", "sm_90a"}) {
        const Capability c = capability_of(name);
        ASSERT_FALSE(c.matrix_units.empty());
        EXPECT_NE(c.matrix_unit(c.matrix_units[0].name), nullptr);
        EXPECT_EQ(c.matrix_unit("none"), nullptr);
        EXPECT_GT(c.shared_bytes, c.shared_bytes_per_block);
        EXPECT_EQ(c.registers, 65536);
        EXPECT_GT(c.boost_ghz, c.sustained_ghz);
    }
}

template<typename F>
std::string user_error_of(F f) {
    try {
        f();
    } catch (const UserError &e) {
        return e.what();
    }
    return "no UserError";
}

TEST(BadCapability, Refused) {
    EXPECT_EQ(user_error_of([] { capability_of("sm_9O"); }), "Unknown target sm_9O (did you mean sm_90?)");
    EXPECT_NE(user_error_of([] { capability_of("toaster"); }).find("known: sm_80, sm_90"), std::string::npos);
    EXPECT_NE(user_error_of([] { capability_of(Target("x86-64-linux-cuda-cuda_capability_61")); })
                  .find("matrix instructions need cuda_capability_80 or later"),
              std::string::npos);
    EXPECT_NE(user_error_of([] { capability_of(Target("x86-64-linux-opencl")); }).find("the GPU targets are CUDA's"),
              std::string::npos);
}

TEST(NearestName, Suggestions) {
    EXPECT_EQ(edit_distance("maks", "mask"), 1) << "a swap";
    EXPECT_EQ(edit_distance("", "abc"), 3);
    EXPECT_EQ(nearest_name("pingpon", {"tile", "pingpong"}), "pingpong");
    EXPECT_EQ(nearest_name("Tile", {"tile"}), "tile");
    EXPECT_EQ(nearest_name("x", {"y"}), "");
    EXPECT_EQ(nearest_name("sm_91", {"sm_80", "sm_90a"}), "sm_90a") << "both are two changes away";
    EXPECT_EQ(suggestion_for("quux", {"tile", "stream"}), " (known: tile, stream)");
    EXPECT_EQ(list_of({"a", "b", "c"}), "a, b and c");
}

}  // namespace
