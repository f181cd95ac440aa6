// The PTX of device intrinsics.

#include "device/IntrinsicTable.h"

#include "support/Error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

using namespace strobe::device;

namespace {

IntrinsicCall call_of(const std::string &op, std::vector<std::string> constants, std::vector<std::string> arguments) {
    IntrinsicCall call;
    call.op = op;
    call.constants = std::move(constants);
    call.arguments = std::move(arguments);
    call.result = "%r9";
    call.id = 5;
    call.named = [](const std::string &name, int i) { return "%" + name + std::to_string(i); };
    return call;
}

TEST(IntrinsicTable, PlacesOperands) {
    EXPECT_EQ(ptx_of(call_of("fmax", {}, {"%f1", "%f2"})), "max.f32 %r9, %f1, %f2;");
    EXPECT_EQ(ptx_of(call_of("shuffle_xor", {"2"}, {"%f1"})), "shfl.sync.bfly.b32 %r9, %f1, 2, 31, -1;");
    EXPECT_EQ(ptx_of(call_of("registers_grow", {"232"}, {})), "setmaxnreg.inc.sync.aligned.u32 232;");
}

TEST(IntrinsicTable, PacksTheFirstArgumentIntoTheLowHalf) {
    EXPECT_EQ(ptx_of(call_of("pack", {"bf16"}, {"%low", "%high"})), "cvt.rn.bf16x2.f32 %r9, %high, %low;");
    EXPECT_EQ(ptx_of(call_of("pack_to", {"f16", "P", "3"}, {"%low", "%high"})), "cvt.rn.f16x2.f32 %P3, %high, %low;");
}

TEST(IntrinsicTable, ChoosesByTypeAndRank) {
    EXPECT_EQ(ptx_of(call_of("load_global", {"f32"}, {"%rd1"})), "ld.global.nc.b32 %r9, [%rd1];");
    EXPECT_EQ(ptx_of(call_of("load_global", {"s64"}, {"%rd1"})), "ld.global.nc.b64 %r9, [%rd1];");
    EXPECT_EQ(ptx_of(call_of("tensor_load", {"2"}, {"%to", "%map", "%bar", "%x", "%y"})),
              "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%to], [%map, {%x, %y}], "
              "[%bar];");
    EXPECT_EQ(ptx_of(call_of("tensor_store", {"2"}, {"%from", "%map", "%x", "%y"})),
              "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%map, {%x, %y}], [%from];");
}

TEST(IntrinsicTable, BracesThatAreNoPlaceholderStay) {
    EXPECT_EQ(ptx_of(call_of("load_global", {"bf16"}, {"%rd1"})),
              "{ .reg .b16 %sh; ld.global.nc.b16 %sh, [%rd1]; mov.b32 %r9, {0, %sh}; }");
}

TEST(IntrinsicTable, NamedRegistersOf64Bits) {
    EXPECT_EQ(ptx_of(call_of("get", {"row_w64", "1"}, {})), "mov.b64 %r9, %row_w641;");
    EXPECT_EQ(ptx_of(call_of("set", {"row_w64", "0"}, {"%rd1"})), "mov.b64 %row_w640, %rd1;");
    EXPECT_EQ(ptx_of(call_of("set", {"row", "0"}, {"%r1"})), "mov.b32 %row0, %r1;");
}

TEST(IntrinsicTable, LoadsWhereAConditionHolds) {
    EXPECT_EQ(ptx_of(call_of("load_global_if", {"b32"}, {"%rd1", "%r1"})),
              "{ .reg .pred %sp; setp.ne.s32 %sp, %r1, 0; mov.b32 %r9, 0; @%sp ld.global.nc.b32 %r9, [%rd1]; }");
}

/** What reciprocal_narrow does, with the constant that stands in its PTX. */
float reciprocal_narrow(float y) {
    int32_t bits;
    memcpy(&bits, &y, 4);
    bits = 0x7EF31000 - bits;
    float guess;
    memcpy(&guess, &bits, 4);
    const float h = std::fma(y, -guess, 1.0f);
    return std::fma(guess, std::fma(h, h, h), guess);
}

TEST(IntrinsicTable, NarrowReciprocalIsWithinItsBound) {
    EXPECT_NE(ptx_of(call_of("reciprocal_narrow", {}, {"%f1"})).find("sub.s32 %sg, 0x7EF31000, %sy"),
              std::string::npos);
    for (int exponent = -100; exponent <= 124; exponent++) {
        for (int step = 0; step < 4096; step++) {
            const float y = std::ldexp(1 + float(step) / 4096, exponent);
            ASSERT_LE(std::abs(double(reciprocal_narrow(y)) * y - 1), 1.31e-4) << y;
        }
    }
    EXPECT_TRUE(std::isnan(reciprocal_narrow(std::nanf(""))));
}

/** Two reciprocals from one, as kernels take them: denominators scaled by 2^-63, clamped to 1 by the instruction that
 * makes them. */
TEST(IntrinsicTable, SaturatedDenominatorsHaveReciprocals) {
    EXPECT_EQ(ptx_of(call_of("fma_saturated", {}, {"%f1", "%f2", "%f3"})), "fma.rn.sat.f32 %r9, %f1, %f2, %f3;");
    EXPECT_EQ(ptx_of(call_of("add_saturated", {}, {"%f1", "%f2"})), "add.sat.f32 %r9, %f1, %f2;");
    const float scale = std::ldexp(1.0f, -63);
    const auto saturated = [&](float exponential) {
        const float x = std::fma(exponential, scale, scale);
        return x > 0 ? std::min(x, 1.0f) : 0.0f;  // a NaN becomes 0
    };
    std::vector<float> exponentials = {0, INFINITY};
    for (int exponent = -126; exponent <= 127; exponent++) {
        exponentials.push_back(std::ldexp(1.37f, exponent));
    }
    for (float a : exponentials) {
        for (float b : exponentials) {
            const float x = saturated(a), y = saturated(b), both = 1 / (x * y) * scale;
            const double expected = 1 / std::min(1 + double(a), std::ldexp(1.0, 63));
            ASSERT_LE(std::abs(y * both / expected - 1), 1e-6) << a << " beside " << b;
        }
        EXPECT_TRUE(std::isnan(saturated(NAN) * (1 / (saturated(NAN) * saturated(a)) * scale))) << "it reaches the row";
    }
}

// Descriptors: the argument is the lower half; the upper one says 64-column panels with the 128-byte swizzle.

TEST(IntrinsicTable, WritesMatrixInstructionsFromSharedMemory) {
    // 64 x 8: four accumulators a thread.
    EXPECT_EQ(ptx_of(call_of("wgmma_ss", {"bf16", "8", "S", "0", "1"}, {"%da", "%db"})),
              "{ .reg .b64 %sd0, %sd1; mov.b64 %sd0, {%da, 0x40000040}; mov.b64 %sd1, {%db, 0x40000040};\n"
              "\twgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%S0, %S1, %S2, %S3}, %sd0, %sd1, 0, 1, 1, 0, 1; "
              "}");
}

TEST(IntrinsicTable, WritesMatrixInstructionsFromRegisters) {
    EXPECT_EQ(ptx_of(call_of("wgmma_rs", {"f16", "8", "O", "P", "4", "1", "1"}, {"%db"})),
              "{ .reg .b64 %sd0, %sd1; mov.b64 %sd0, {%db, 0x40000040};\n"
              "\twgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%O0, %O1, %O2, %O3}, {%P4, %P5, %P6, %P7}, %sd0, "
              "1, 1, 1, 1; }");
}

TEST(IntrinsicTable, WritesMatrixInstructionsOfOneWarp) {
    EXPECT_EQ(ptx_of(call_of("ldmatrix", {"plain", "A", "4"}, {"%at"})),
              "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%A4, %A5, %A6, %A7}, [%at];");
    EXPECT_EQ(ptx_of(call_of("ldmatrix", {"trans", "B", "0"}, {"%at"})),
              "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%B0, %B1, %B2, %B3}, [%at];");
    // Results of two rows, which lie apart.
    EXPECT_EQ(ptx_of(call_of("mma", {"f16", "S", "2", "18", "A", "4", "B", "2"}, {})),
              "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%S2, %S3, %S18, %S19}, {%A4, %A5, %A6, %A7}, "
              "{%B2, %B3}, {%S2, %S3, %S18, %S19};");
}

TEST(IntrinsicTable, RefusesUnknownOps) {
    EXPECT_THROW(ptx_of(call_of("no_such", {}, {})), strobe::InternalError);
    EXPECT_THROW(ptx_of(call_of("tensor_load", {"6"}, {})), strobe::InternalError);
}

}  // namespace
