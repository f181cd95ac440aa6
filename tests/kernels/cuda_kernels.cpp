// Every algorithm becomes a kernel for sm_90a that ptxas takes without spills and
// without serialising its matrix instructions.

#include "Disassemble.h"
#include "MatrixCode.h"
#include "driver/CompileCuda.h"
#include "driver/Instance.h"
#include "schedule/ParseSchedule.h"
#include "support/Error.h"

#include <gtest/gtest.h>

#include <set>

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

Target cuda_target() {
    return Target("x86-64-linux-cuda");
}

CudaCompilation compile_variant(const std::string &variant, const std::string &dtype, int head, int value) {
    const Instance instance = build_algorithm(
        variant, {{"dtype", dtype}, {"head_dim", std::to_string(head)}, {"value_dim", std::to_string(value)}},
        get_host_target());
    return compile_cuda(instance.outputs, cuda_target(), {}, variant);
}

/** What the kernel is made of, without pinning its text. */
void expect_structure(const std::string &ptx, const std::string &dtype, int plans) {
    const std::string type = dtype == "fp16" ? "f16" : "bf16";
    EXPECT_GE(count(ptx, "wgmma\\.mma_async\\.sync\\.aligned\\.m64n\\d+k16\\.f32\\." + type + "\\." + type), 2);
    EXPECT_GE(count(ptx, "cp\\.async\\.bulk\\.tensor\\.\\dd\\.shared::cluster\\.global"), 3) << "q, k and v";
    EXPECT_GE(count(ptx, "cp\\.async\\.bulk\\.tensor\\.\\dd\\.global\\.shared::cta"), 1) << "the output";
    EXPECT_EQ(count(ptx, "setmaxnreg\\.dec"), plans) << "the producer";
    EXPECT_EQ(count(ptx, "setmaxnreg\\.inc"), plans) << "the consumers";
    EXPECT_GE(count(ptx, "mbarrier\\.try_wait"), 2);
    EXPECT_GE(count(ptx, "ex2\\.approx"), 1);
    EXPECT_EQ(count(ptx, "strobe\\$"), 0) << "an intrinsic was not expanded";
    EXPECT_EQ(count(ptx, "call\\.uni"), 0) << "a call was left";
    EXPECT_EQ(count(ptx, "\\.local"), 0) << "local memory";
}

void expect_assembled(const CudaCompilation &c, const std::string &dtype) {
    ASSERT_FALSE(c.package.is_ptx);
    expect_matrix_code(c, dtype == "fp16" ? "f16" : "bf16");
    for (const LaunchPlan &plan : c.package.plans) {
        const std::string &main_kernel = plan.kernels.back().entry;
        EXPECT_TRUE(std::any_of(c.kernels.begin(), c.kernels.end(),
                                [&](const KernelStatistics &k) { return k.entry == main_kernel; }))
            << main_kernel << " is not among\n"
            << c.statistics();
    }
    const std::string sass = disassemble(c.package.code);
    if (!sass.empty()) {
        EXPECT_GE(count(sass, "UTMALDG"), 3) << "no tensor copies in the machine code";
        EXPECT_GE(count(sass, "USETMAXREG"), 2);
    }
}

/** The package is what the runtime takes, and its schedule is one that can be followed. */
void expect_package(const CudaCompilation &c, const std::string &variant) {
    const std::vector<uint8_t> bytes = serialize_package(c.package);
    const KernelPackage read = parse_package(bytes.data(), bytes.size());
    EXPECT_EQ(read.name, variant);
    EXPECT_EQ(read.architecture, "sm_90a");
    ASSERT_EQ(read.plans.size(), c.stages.schedules.choices.size());
    for (size_t n = 0; n < read.plans.size(); n++) {
        const LaunchPlan &plan = read.plans[n];
        EXPECT_NE(plan.schedule.find("tile("), std::string::npos) << plan.schedule;
        EXPECT_EQ(plan.query_tile, c.stages.schedules.choices[n].choices.query_tile);
        ASSERT_EQ(plan.steps.size(), 1u);
        EXPECT_EQ(plan.steps[0].divisor, c.stages.schedules.choices[n].choices.stream_tile);
    }
    int outputs = 0, features = 0;
    for (const BufferSpec &b : read.buffers) {
        outputs += b.output;
    }
    for (const FixedExtent &fixed : read.fixed_extents) {
        features += fixed.dim == 0 && !fixed.at_least;
    }
    EXPECT_EQ(features, 4) << "q, k, v and out have as many features as the kernel";
    EXPECT_EQ(outputs, 2) << "out and lse";
}

struct Case {
    std::string variant, dtype;
    int head, value;
};

std::ostream &operator<<(std::ostream &stream, const Case &c) {
    return stream << c.variant << "_" << c.dtype << "_d" << c.head << "_v" << c.value;
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const std::string variant :
         {"full", "causal", "alibi", "softcap", "sliding_window", "prefix_lm", "document_mask"}) {
        for (int head : {32, 64, 80, 128}) {
            all.push_back({variant, "bf16", head, head});
        }
        for (int head : {64, 128}) {
            all.push_back({variant, "fp16", head, head});
        }
    }
    all.push_back({"causal", "fp16", 32, 32});
    all.push_back({"causal", "fp16", 80, 80});
    all.push_back({"causal", "bf16", 128, 64});
    all.push_back({"full", "bf16", 64, 128});
    return all;
}

class CudaKernels : public testing::TestWithParam<Case> {};

TEST_P(CudaKernels, Assemble) {
    const Case c = GetParam();
    const CudaCompilation compiled = compile_variant(c.variant, c.dtype, c.head, c.value);
    expect_structure(compiled.ptx, c.dtype, int(compiled.package.plans.size()));
    expect_package(compiled, c.variant);
    if (!find_ptxas()) {
        GTEST_SKIP() << "there is no ptxas to assemble the kernel with";
    }
    expect_assembled(compiled, c.dtype);
}

INSTANTIATE_TEST_SUITE_P(All, CudaKernels, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case> &info) { return testing::PrintToString(info.param); });

Choices chosen(const std::string &variant, int head) {
    const Instance instance = build_algorithm(
        variant, {{"dtype", "bf16"}, {"head_dim", std::to_string(head)}, {"value_dim", std::to_string(head)}},
        get_host_target());
    return strobe::compile(instance.outputs, cuda_target()).choices;
}

/** Settings that were found to be the fastest on an H200, and stages and rows in registers on an H100. */
TEST(CudaChoices, AreTheMeasuredOnes) {
    for (const std::string variant : {"full", "causal", "prefix_lm"}) {
        for (int head : {64, 128}) {
            const Choices c = chosen(variant, head);
            const std::string what = variant + " " + std::to_string(head);
            const bool small = head <= 64;
            EXPECT_EQ(c.consumers, small ? 3 : 2) << what;
            EXPECT_EQ(c.query_tile, small ? 192 : 128) << what;
            EXPECT_EQ(c.stream_tile, 128) << what;
            EXPECT_EQ(c.stages, small ? 3 : 2) << what;
            EXPECT_EQ(c.held.size(), !small && variant == "full" ? 1u : 0u) << what;
            EXPECT_EQ(c.consumer_registers, small ? 160 : 232) << what;
            EXPECT_EQ(c.producer_registers, small ? 32 : 40) << what;
            EXPECT_EQ(c.pingpong, small) << what;
            EXPECT_EQ(c.rescale_bits, 8) << what;
            EXPECT_EQ(c.query_descending, variant != "full") << what;
        }
    }
}

std::string ptx_of(const std::string &variant, int head, const std::string &schedule) {
    const Instance instance = build_algorithm(
        variant, {{"dtype", "bf16"}, {"head_dim", std::to_string(head)}, {"value_dim", std::to_string(head)}},
        get_host_target());
    const CudaCompilation c = compile_cuda(instance.outputs, cuda_target(), parse_schedule(schedule), variant);
    expect_matrix_code(c, "bf16");
    return c.ptx;
}

/** Rows in registers: read once a block, 16 columns a time, ahead of the first tile. Then no score contraction reads both
 * operands from shared memory. */
TEST(CudaKernels, HoldRowsInRegisters) {
    const std::string tiles = "tile(i, 128) stream(j, 128) scores: mma(wgmma, bf16";
    const std::string from_shared = "f32\\.bf16\\.bf16 \\{[^}]*\\}, %sd0, %sd1";
    const std::string held = ptx_of("full", 104, tiles + ", a=registers)"), shared = ptx_of("full", 104, tiles + ")");
    EXPECT_EQ(count(held, "ldmatrix"), 7) << "104 columns";
    EXPECT_EQ(count(held, from_shared), 0);
    EXPECT_EQ(count(shared, "ldmatrix"), 0);
    EXPECT_EQ(count(shared, from_shared), 14) << "the first tile's and the loop's";
    EXPECT_LT(held.find("ldmatrix"), held.find("wgmma.mma_async"));
}

/** The exponentials of the loop before the wait for its sums, which is the one that stays where it is put. */
int exponentials_before_sums(const std::string &ptx) {
    const size_t here = ptx.find("STROBE_HERE_"), loop = ptx.rfind("wgmma.mma_async", here);
    return count(ptx.substr(loop, here - loop), "ex2\\.approx");
}

/** With turns and three stages, all elementwise work comes before the wait for the sums; else the maxima alone. Where
 * much was computed before them (softcap's tanh), it would only hold up copies. */
TEST(CudaKernels, WaitForSumsWhenTheyAreDue) {
    const std::string tiles = "tile(i, 192) stream(j, 128) k, v: ";
    const int factors = 2;  // of the rows
    EXPECT_EQ(exponentials_before_sums(ptx_of("full", 64, tiles + "stage(3) pingpong")), 64 + factors);
    EXPECT_EQ(exponentials_before_sums(ptx_of("full", 64, tiles + "stage(2) pingpong")), factors);
    EXPECT_EQ(exponentials_before_sums(ptx_of("full", 64, tiles + "stage(3) pingpong(off)")), factors);
    EXPECT_EQ(exponentials_before_sums(ptx_of("softcap", 64, tiles + "stage(3) pingpong")), factors);
}

/** The last panel of a row is copied as far as the row goes. */
TEST(CudaKernels, CopyNoColumnsBeyondTheRow) {
    const CudaCompilation c = compile_variant("causal", "bf16", 72, 72);
    for (const LaunchPlan &plan : c.package.plans) {
        std::multiset<uint32_t> columns;
        for (const TensorMapSpec &map : plan.tensor_maps) {
            columns.insert(map.box[0]);
        }
        EXPECT_EQ(columns, (std::multiset<uint32_t>{8, 8, 8, 64, 64, 64, 64})) << "q, k, v; and the result";
    }
}

/** A page a lane: as many copies in the code as for a tensor that lies in one piece. */
TEST(CudaKernels, CopyPagesSideBySide) {
    const auto copies = [](const CudaCompilation &c) {
        int count = 0;
        for (size_t at = 0; (at = c.ptx.find("cp.async.bulk.tensor.4d.shared", at)) != std::string::npos; at++) {
            count++;
        }
        return count;
    };
    const CudaCompilation paged = compile_variant("paged", "bf16", 64, 64), whole = compile_variant("full", "bf16", 64, 64);
    EXPECT_EQ(copies(paged) / int(paged.package.plans.size()), copies(whole) / int(whole.package.plans.size()));
}

/** The cost that the launcher compares, of a block of rows at a length. */
double cost(const LaunchPlan &plan, int keys) {
    const int tile = plan.steps.at(0).divisor;
    return plan.cost_per_unit + plan.cost_per_step * ((keys + tile - 1) / tile);
}

/** Long rows get a plan of their own at head dimension 96, unless a mask keeps them short. */
TEST(CudaChoices, SeveralPlansWhereTheyPay) {
    const CudaCompilation c = compile_variant("full", "bf16", 96, 96);
    ASSERT_EQ(c.package.plans.size(), 2u) << c.package.plans[0].schedule;
    const LaunchPlan &narrow = c.package.plans[0], &wide = c.package.plans[1];
    EXPECT_EQ(narrow.steps.at(0).divisor, 128);
    EXPECT_EQ(wide.steps.at(0).divisor, 160);
    EXPECT_LT(cost(narrow, 1024), cost(wide, 1024));
    EXPECT_GT(cost(narrow, 16384), cost(wide, 16384));
    EXPECT_NE(narrow.kernels.back().entry, wide.kernels.back().entry);
    if (find_ptxas()) {
        EXPECT_EQ(c.kernels.size(), 2u) << c.statistics();
    }
    for (const std::string variant : {"causal", "sliding_window"}) {
        const Instance instance =
            build_algorithm(variant, {{"dtype", "bf16"}, {"head_dim", "96"}}, get_host_target());
        EXPECT_EQ(strobe::compile(instance.outputs, cuda_target()).schedules.choices.size(), 1u) << variant;
    }
}

/** Documents: one kernel summarises the ids, one puts the blocks of rows in order, and only the first waits for
 * what was on the stream before. A mask that does not know of heads is judged once for all of them. */
TEST(CudaKernels, OfDataMasksOrderTheirBlocks) {
    const CudaCompilation c = compile_variant("document_mask", "bf16", 64, 64);
    ASSERT_EQ(c.package.plans.size(), 1u);
    const LaunchPlan &plan = c.package.plans[0];
    ASSERT_EQ(plan.kernels.size(), 3u);
    const KernelSpec &summary = plan.kernels[0], &order = plan.kernels[1], &attend = plan.kernels[2];
    EXPECT_FALSE(summary.overlaps);
    EXPECT_TRUE(order.overlaps);
    EXPECT_TRUE(attend.overlaps);
    EXPECT_EQ(order.work.size(), 2u) << "rows and batch entries";
    EXPECT_EQ(attend.work.size(), 3u) << "rows, heads and batch entries";
    EXPECT_EQ(order.work[0].divisor, plan.query_tile);
    int zeroed = 0;
    for (const WorkspaceSpec &w : plan.workspaces) {
        zeroed += w.zeroed;
    }
    EXPECT_EQ(zeroed, 2) << "the queue and the classes of costs";
}

/** Windows of a few hundred keys: small tiles, more of them in flight. */
TEST(CudaChoices, AreTheMeasuredOnesForWindows) {
    for (int head : {64, 128}) {
        const Choices c = chosen("sliding_window", head);
        EXPECT_EQ(c.query_tile, head == 64 ? 192 : 128) << head;
        EXPECT_EQ(c.stream_tile, 64) << head;
        EXPECT_GE(c.stages, 3) << head;
        EXPECT_FALSE(c.pingpong) << "turns hold up warpgroups that skip different tiles";
        EXPECT_FALSE(c.query_descending) << head;
    }
}

}  // namespace
