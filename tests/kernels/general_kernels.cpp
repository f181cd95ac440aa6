// The general form: what the warp-specialised one does not take becomes a kernel all
// the same, for any architecture, which ptxas takes without spills.

#include "algorithm/ReadAlgorithm.h"
#include "driver/CompileCuda.h"
#include "driver/Instance.h"
#include "schedule/ParseSchedule.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace Halide;
using namespace strobe;

namespace {

Target cuda_target() {
    return Target("x86-64-linux-cuda");
}

struct Case {
    std::string variant, dtype;
    int head, value;
};

std::ostream &operator<<(std::ostream &stream, const Case &c) {
    return stream << c.variant << "_" << c.dtype << "_d" << c.head << "_v" << c.value;
}

CudaCompilation compile_case(const Case &c, const std::string &schedule, const Target &target = cuda_target()) {
    const Instance instance = build_algorithm(
        c.variant, {{"dtype", c.dtype}, {"head_dim", std::to_string(c.head)}, {"value_dim", std::to_string(c.value)}},
        get_host_target());
    return compile_cuda(instance.outputs, target, parse_schedule(schedule), c.variant);
}

/** \p spilled: bytes allowed where registers are limited so that two blocks fit a multiprocessor (at most 128 registers);
 * \p anywhere: in any kernel. */
void expect_kernel(const CudaCompilation &c, const std::string &architecture, int spilled = 0, int anywhere = 0) {
    EXPECT_NE(c.ptx.find(".target " + architecture + "\n"), std::string::npos) << c.ptx.substr(0, 400);
    EXPECT_EQ(c.ptx.find("strobe$"), std::string::npos) << "an intrinsic was not expanded";
    EXPECT_EQ(c.ptx.find("call.uni"), std::string::npos) << "a call was left";
    EXPECT_NE(c.ptx.find("bar.sync"), std::string::npos) << "no barrier";
    const std::vector<uint8_t> bytes = serialize_package(c.package);
    const KernelPackage read = parse_package(bytes.data(), bytes.size());
    EXPECT_EQ(read.architecture, architecture);
    EXPECT_TRUE(read.plans.at(0).tensor_maps.empty());
    for (const KernelStatistics &k : c.kernels) {
        EXPECT_LE(k.spill_store_bytes + k.spill_load_bytes + k.stack_bytes, k.registers <= 128 ? spilled : anywhere)
            << c.statistics();
    }
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const char *variant : {"full", "causal", "alibi", "softcap", "sliding_window", "prefix_lm", "document_mask"}) {
        for (const char *dtype : {"fp32", "bf16"}) {
            all.push_back({variant, dtype, 64, 64});
        }
        all.push_back({variant, "fp32", 128, 128});
    }
    for (const auto &[head, value] : {std::pair(1, 1), std::pair(5, 3), std::pair(20, 40), std::pair(80, 96),
                                      std::pair(192, 128), std::pair(256, 256), std::pair(576, 512)}) {
        all.push_back({"causal", "fp32", head, value});
        all.push_back({"causal", "fp16", head, value});
    }
    return all;
}

class GeneralKernels : public testing::TestWithParam<Case> {};

TEST_P(GeneralKernels, Assemble) {
    const CudaCompilation c = compile_case(GetParam(), "kernel(general)");
    // Sums in float32 over 128 and more features, and one address of a mask over data, where registers are limited so
    // that two blocks fit a multiprocessor.
    const bool narrow = GetParam().dtype != "fp32", data = GetParam().variant == "document_mask";
    expect_kernel(c, "sm_90a", narrow ? 0 : GetParam().head >= 128 ? 112 : data ? 16 : 0);
    EXPECT_TRUE(c.warnings.empty()) << c.statistics() << "nothing is to be warned of that was asked for";
    EXPECT_NE(c.package.plans.at(0).schedule.find("kernel(general)"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(All, GeneralKernels, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case> &info) { return testing::PrintToString(info.param); });

class ShippedKernels : public testing::TestWithParam<std::string> {};

/** Every shipped algorithm has a kernel, on the matrix unit where it can be used. */
TEST_P(ShippedKernels, Assemble) {
    // Heads that share a block have so many results that some are spilled; it is faster nevertheless (src/lower/simt).
    const int spilled = GetParam() == "ipa" ? 1344 : 0;
    expect_kernel(compile_case({GetParam(), "bf16", 32, 32}, "kernel(general)"), "sm_90a", spilled, spilled);
}

INSTANTIATE_TEST_SUITE_P(All, ShippedKernels, testing::ValuesIn(registered_algorithms()),
                         [](const testing::TestParamInfo<std::string> &info) { return info.param; });

void expect_warning(const CudaCompilation &c, const std::string &reason) {
    ASSERT_EQ(c.warnings.size(), 1u) << c.statistics();
    EXPECT_NE(c.warnings[0].find("the general kernel is used, which is slower"), std::string::npos) << c.warnings[0];
    EXPECT_NE(c.warnings[0].find(reason), std::string::npos) << c.warnings[0];
}

TEST(GeneralForm, IsTakenWhereTheOtherDoesNotDo) {
    expect_warning(compile_case({"causal", "fp32", 64, 64}, ""), "operand q of type float32");
    expect_warning(compile_case({"sparsemax", "bf16", 64, 64}, ""), "7 passes over j");
    EXPECT_TRUE(compile_case({"causal", "bf16", 40, 40}, "").warnings.empty());
    expect_warning(compile_case({"causal", "fp32", 64, 64}, "tile(i, 24)  stream(j, 40)"), "");
    EXPECT_TRUE(compile_case({"causal", "bf16", 64, 64}, "").warnings.empty());
}

TEST(GeneralForm, RunsOnOlderMachines) {
    const CudaCompilation c =
        compile_case({"causal", "bf16", 64, 64}, "", cuda_target().with_feature(Target::CUDACapability80));
    expect_kernel(c, "sm_80");
    expect_warning(c, "sm_90a alone");
}

TEST(GeneralForm, IsNotTakenAgainstTheSchedule) {
    EXPECT_THROW(compile_case({"causal", "fp32", 64, 64}, "kernel(warp_specialized)"), UserError);
    EXPECT_THROW(compile_case({"causal", "fp32", 64, 64}, "k, v: stage(2, tma)"), UserError);
}

TEST(GeneralForm, FollowsTilesThatFit) {
    const CudaCompilation c = compile_case({"causal", "fp32", 64, 64}, "kernel(general) tile(i, 24) stream(j, 40)");
    EXPECT_EQ(c.stages.program.query_tile, 24);
    EXPECT_EQ(c.stages.program.stream_tile, 40);
    try {
        compile_case({"causal", "fp32", 128, 128}, "kernel(general) tile(i, 256) stream(j, 512)");
        ADD_FAILURE() << "no error";
    } catch (const UserError &e) {
        EXPECT_NE(std::string(e.what()).find("no tiles fit sm_90a"), std::string::npos) << e.what();
    }
}

/** One kernel walks the parts, another merges them. */
TEST(GeneralForm, WalksKeysInParts) {
    for (const char *dtype : {"fp32", "bf16"}) {
        const CudaCompilation c = compile_case({"causal", dtype, 64, 64}, "kernel(general) tile(i, 16) split(j, 8)");
        expect_kernel(c, "sm_90a");
        const LaunchPlan &plan = c.package.plans.at(0);
        ASSERT_EQ(plan.kernels.size(), 2u);
        ASSERT_EQ(plan.kernels[0].work.size(), plan.kernels[1].work.size() + 1);
        EXPECT_EQ(plan.kernels[0].work.back().buffer, -1);
        EXPECT_EQ(plan.kernels[0].work.back().divisor, 8);
        EXPECT_EQ(plan.workspaces.size(), 3u) << "maxima, sums, and sums of values";
    }
}

/** Two walks over the keys, in one kernel. */
TEST(GeneralForm, TakesSeveralPasses) {
    ImageParam q(Float(32), 4, "q"), k(Float(32), 4, "k"), v(Float(32), 4, "v");
    for (ImageParam *p : {&q, &k, &v}) {
        p->dim(0).set_bounds(0, 64);
    }
    Var d("d"), i("i"), j("j"), h("h"), b("b");
    RDom r(0, 64, "r"), all(0, k.dim(1).extent(), "all");
    Func s("s"), mean("mean"), out("out");
    s(j, i, h, b) += q(r, i, h, b) * k(r, j, h, b);
    mean(i, h, b) += s(all, i, h, b);
    const Expr m = mean(i, h, b) / cast<float>(k.dim(1).extent());
    out(d, i, h, b) += max(s(all, i, h, b) - m, 0.0f) * v(d, all, h, b);
    out.output_buffer().dim(0).set_bounds(0, 64);
    const CudaCompilation c = compile_cuda({out}, cuda_target());
    EXPECT_EQ(c.stages.program.passes.size(), 2u);
    EXPECT_EQ(c.package.plans.at(0).kernels.size(), 1u);
    expect_kernel(c, "sm_90a");
    expect_warning(c, "");
}

}  // namespace
