// The algorithms beyond one plain softmax become kernels of the warp-specialised form that
// ptxas takes without spills and without serialising the matrix instructions.

#include "MatrixCode.h"
#include "driver/CompileCuda.h"
#include "driver/Instance.h"
#include "lower/cuda/Chains.h"
#include "lower/cuda/Prepare.h"
#include "schedule/ParseSchedule.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

Target cuda_target() {
    return Target("x86-64-linux-cuda");
}

struct Case {
    std::string variant;
    int head, value;
    std::string schedule;
};

std::ostream &operator<<(std::ostream &stream, const Case &c) {
    return stream << c.variant << "_d" << c.head << "_v" << c.value << (c.schedule.empty() ? "" : "_scheduled");
}

Instance instance_of(const Case &c) {
    return build_algorithm(
        c.variant,
        {{"dtype", "bf16"}, {"head_dim", std::to_string(c.head)}, {"value_dim", std::to_string(c.value)}},
        get_host_target());
}

class CudaPrograms : public testing::TestWithParam<Case> {};

TEST_P(CudaPrograms, Assemble) {
    const CudaCompilation c =
        compile_cuda(instance_of(GetParam()).outputs, cuda_target(), parse_schedule(GetParam().schedule), "program");
    const std::vector<uint8_t> bytes = serialize_package(c.package);
    EXPECT_EQ(parse_package(bytes.data(), bytes.size()).plans.size(), c.package.plans.size());
    expect_matrix_code(c, "bf16");
}

const char *two_chains = "tile(i, 64) stream(j, 64) warps(consumers=2, chains=2) pingpong";
const char *together = "tile(i, 128) stream(j, 48) warps(consumers=2)";

std::vector<Case> cases() {
    return {{"differential_full", 64, 128, ""},
            {"differential_full", 128, 256, ""},
            {"differential_full", 64, 128, two_chains},
            {"differential_full", 64, 128, together},
            {"differential", 64, 128, ""},
            {"differential", 128, 256, ""},
            {"differential", 64, 128, two_chains},
            {"sinks", 64, 64, ""},
            {"sinks", 128, 128, ""},
            {"sigmoid", 64, 64, ""},
            {"sigmoid", 128, 128, ""},
            {"rope", 64, 64, ""},
            {"rope", 96, 96, ""},
            {"rope", 128, 128, ""},
            {"linear", 64, 64, ""},
            {"linear_causal", 64, 64, ""},
            {"evoformer", 64, 64, ""},
            {"evoformer", 128, 128, ""},
            {"evoformer", 64, 64, "tile(i, 192) stream(j, 64) pair_bias: stage(3) gate: stage(2)"},
            {"evoformer", 40, 40, ""},
            {"sigmoid_pair", 64, 64, ""},
            {"sigmoid_pair", 64, 64, "tile(i, 128) stream(j, 64) pingpong(off) pair_bias: stage(2)"},
            {"mla", 192, 128, ""},
            {"full", 40, 40, ""},
            {"full", 72, 72, ""},
            {"causal", 104, 56, ""},
            {"full", 256, 256, ""},
            {"packed_causal", 64, 64, ""},
            {"varlen", 64, 64, ""},
            {"paged", 64, 64, ""},
            {"paged", 128, 128, ""},
            {"longformer", 64, 64, ""},
            {"longformer", 128, 128, ""},
            {"dilated", 64, 64, ""},
            {"dilated", 128, 128, ""},
            {"neighbourhood", 64, 64, ""},
            {"neighbourhood", 128, 128, ""},
            {"block_diffusion", 64, 64, ""},
            {"block_diffusion", 128, 128, ""},
            {"block_routing", 64, 64, ""},
            {"block_routing", 128, 128, ""}};
}

INSTANTIATE_TEST_SUITE_P(All, CudaPrograms, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case> &info) {
                             return std::to_string(info.index) + "_" + testing::PrintToString(info.param);
                         });

/** Two elements need one reciprocal of the special-function unit; where warpgroups take turns, a quarter none. */
TEST(CudaReciprocals, AreShared) {
    for (const bool turns : {false, true}) {
        const std::string schedule = std::string("tile(i, 128) stream(j, 64) pingpong(") + (turns ? "on)" : "off)");
        const CudaCompilation c = compile_cuda(instance_of({"sigmoid", 64, 64, ""}).outputs, cuda_target(),
                                               parse_schedule(schedule), "program");
        EXPECT_EQ(c.package.plans.size(), 1u);
        const int exponentials = count(c.ptx, "ex2\\.approx");
        EXPECT_GT(exponentials, 0);
        EXPECT_EQ(count(c.ptx, "rcp\\.approx") * 8, (turns ? 3 : 4) * exponentials) << schedule;
        EXPECT_EQ(count(c.ptx, "fma\\.rn\\.sat") * 4, (turns ? 3 : 4) * exponentials) << "clamped in the sum";
    }
}

/** v / (1 + exp(-s)) is a product with v, and the scheduler knows it for one. */
TEST(CudaReciprocals, AreWeights) {
    for (int head : {64, 128}) {
        const Choices c =
            compile(instance_of({"sigmoid", head, head, ""}).outputs, cuda_target(), Schedule()).choices;
        EXPECT_EQ(c.mma.size(), 2u) << "scores and sums";
        EXPECT_EQ(c.query_tile, head == 64 ? 192 : 128);
        EXPECT_EQ(c.stream_tile, 128);
    }
}

/** The part of PTX that is kernel number `plan`. */
std::string kernel_text(const CudaCompilation &c, int plan) {
    const auto start = [&](int n) { return c.ptx.find(".entry strobe_program_" + std::to_string(n)); };
    return c.ptx.substr(start(plan), start(plan + 1) == std::string::npos ? start(plan + 1) : start(plan + 1) - start(plan));
}

std::vector<std::string> mapped_inputs(const CudaCompilation &c, int plan) {
    std::vector<std::string> names;
    for (const TensorMapSpec &map : c.package.plans[plan].tensor_maps) {
        names.push_back(c.package.buffers[map.buffer].name);
    }
    return names;
}

CudaCompilation evoformer(const std::string &schedule, const std::string &dtype = "bf16") {
    const Instance instance =
        build_algorithm("evoformer", {{"dtype", dtype}, {"head_dim", "64"}, {"value_dim", "64"}}, get_host_target());
    return compile_cuda(instance.outputs, cuda_target(), parse_schedule(schedule), "program");
}

/** Biases and gates come as tiles; the last plan reads them where they are used, for inputs that tensor maps cannot
 * describe. */
TEST(CudaElementTiles, AreCopiedInBulkAndHaveAFallback) {
    for (const char *dtype : {"bf16", "fp16"}) {
        const CudaCompilation c = evoformer("", dtype);
        const int plans = int(c.package.plans.size());
        ASSERT_GE(plans, 2);
        EXPECT_NE(c.package.plans[0].schedule.find("pair_bias: stage(2, tma)"), std::string::npos);
        for (int plan = 0; plan < plans; plan++) {
            const bool tiles = plan + 1 < plans;
            const std::vector<std::string> maps = mapped_inputs(c, plan);
            EXPECT_EQ(std::count(maps.begin(), maps.end(), "pair_bias"), tiles) << plan;
            EXPECT_EQ(std::count(maps.begin(), maps.end(), "gate"), tiles) << plan;
            EXPECT_EQ(count(kernel_text(c, plan), "ldmatrix") > 0, tiles) << plan;
            EXPECT_EQ(count(kernel_text(c, plan), "ld\\.global\\.nc\\.b16") == 0, tiles) << plan;
        }
        for (const TensorMapSpec &map : c.package.plans[0].tensor_maps) {
            if (c.package.buffers[map.buffer].name == "pair_bias") {
                EXPECT_EQ(map.box, (std::vector<uint32_t>{64, uint32_t(c.package.plans[0].query_tile), 1, 1}));
            }
        }
    }
}

TEST(CudaElementTiles, AreChosenBySchedules) {
    const CudaCompilation none = evoformer("gate, pair_bias: stage(0)");
    EXPECT_EQ(count(none.ptx, "ldmatrix"), 0);
    const CudaCompilation bias = evoformer("gate: stage(0) pair_bias: stage(3) tile(i, 128) stream(j, 64)");
    const std::vector<std::string> maps = mapped_inputs(bias, 0);
    EXPECT_EQ(std::count(maps.begin(), maps.end(), "pair_bias"), 1);
    EXPECT_EQ(std::count(maps.begin(), maps.end(), "gate"), 0);
    EXPECT_EQ(bias.stages.choices.element_stages_of("pair_bias"), 3);
    EXPECT_EQ(bias.stages.choices.element_stages_of("gate"), 0);
    const auto text_of = [](const std::string &schedule) -> std::string {
        try {
            evoformer(schedule);
        } catch (const UserError &error) {
            return error.what();
        }
        return "";
    };
    const std::string column = text_of("mask_bias: stage(2)");
    EXPECT_NE(column.find("mask_bias is no operand that is walked along j, and has no element for each row and column"),
              std::string::npos) << column;
    EXPECT_NE(column.find("legal here: k, v, pair_bias, gate: stage(count)"), std::string::npos) << column;
    const std::string many = text_of("pair_bias: stage(9)");
    EXPECT_NE(many.find("1 to 8 stages, or 0: no tiles of it"), std::string::npos) << many;
    const std::string zero = text_of("k: stage(0)");
    EXPECT_NE(zero.find("1 to 8 stages"), std::string::npos) << zero;
}

/** A program without a running maximum does its elementwise work in another order, around the wait for the sums. There,
 * too, each tile of a bias is released in every way through the step: where a warpgroup has nothing to do with it, in the
 * first step, and in the loop. */
TEST(CudaElementTiles, AreReleasedInEveryStep) {
    // Only what each thread releases by itself: who speaks for a warpgroup arrives under a predicate.
    const std::string arrival = "\\n\\s*mbarrier\\.arrive\\.shared::cta\\.b64 _, \\[";
    for (const char *turns : {"on", "off"}) {
        int arrivals[2];
        for (int staged = 0; staged < 2; staged++) {
            const std::string schedule = std::string("tile(i, 128) stream(j, 64) pingpong(") + turns + ") pair_bias: stage(" +
                                         (staged ? "2" : "0") + ")";
            const CudaCompilation c = compile_cuda(instance_of({"sigmoid_pair", 64, 64, ""}).outputs, cuda_target(),
                                                   parse_schedule(schedule), "program");
            ASSERT_FALSE(c.general) << c.general_because;
            arrivals[staged] = count(kernel_text(c, 0), arrival);
        }
        EXPECT_EQ(arrivals[1] - arrivals[0], 3) << "turns " << turns;
    }
}

/** A gate comes into the buffer of the results that it is a factor of, and takes no shared memory beside it. The buffer is
 * free as soon as the last results have been copied out of it, which nobody waits for in the epilogue. */
TEST(CudaElementTiles, ShareTheBufferOfTheirResults) {
    const std::string tiles = "tile(i, 128) stream(j, 64) pair_bias: stage(0) gate: ";
    const CudaCompilation none = evoformer(tiles + "stage(0)"), one = evoformer(tiles + "stage(1)"),
                          two = evoformer(tiles + "stage(2)");
    const auto bytes = [](const CudaCompilation &c) { return c.package.plans[0].kernels.back().shared_bytes; };
    const int tile = 128 * 128;  // 64 features of 128 rows
    EXPECT_LT(bytes(one), bytes(none) + 1024) << "barriers alone";
    EXPECT_GE(bytes(two), bytes(none) + 2 * tile);
    const auto waits = [&](const CudaCompilation &c) { return count(kernel_text(c, 0), "bulk\\.wait_group\\.read"); };
    EXPECT_EQ(waits(none), 1) << "before results are written";
    EXPECT_EQ(waits(two), 1);
    EXPECT_EQ(waits(one), 2) << "behind the first tile, and where a warpgroup has none";
}

TileProgram tiles_of(const Case &c) {
    return compile(instance_of(c).outputs, cuda_target(), parse_schedule(c.schedule)).programs[0];
}

TEST(CudaChains, AreWhatSharesNoComputedValue) {
    const TileProgram one = tiles_of({"causal", 64, 64, ""});
    EXPECT_EQ(cuda::chains_of(one, one.passes[0]).size(), 1u);
    const TileProgram two = tiles_of({"differential", 64, 128, two_chains});
    const auto chains = cuda::chains_of(two, two.passes[0]);
    ASSERT_EQ(chains.size(), 2u);
    for (const std::string &value : chains[0]) {
        EXPECT_EQ(chains[1].count(value), 0u) << value;
    }
    for (const TileOp &op : two.passes[0].step) {
        if (op.kind == TileOp::Kind::Contract && op.accumulate) {
            const int owners = int(chains[0].count(op.dst) + chains[1].count(op.dst));
            EXPECT_EQ(owners, 1) << op.dst;
        }
    }
}

/** Operands that are computed from inputs become loads, and what only they needed is gone. */
TEST(CudaPreparation, LeavesLoads) {
    const TileProgram program = tiles_of({"rope", 64, 64, ""});
    const cuda::PreparedProgram prepared = cuda::prepare_operands(program);
    ASSERT_EQ(prepared.tiles.size(), 2u) << "queries and keys";
    for (const cuda::PreparedTile &tile : prepared.tiles) {
        EXPECT_EQ(tile.outer.size(), 2u) << tile.name << ": the head and the batch";
        EXPECT_EQ(prepared.program.value(tile.name).type, BFloat(16));
    }
    int loads = 0;
    for (const auto *ops : {&prepared.program.passes[0].prologue, &prepared.program.passes[0].step}) {
        for (const TileOp &op : *ops) {
            loads += op.kind == TileOp::Kind::Load;
        }
    }
    EXPECT_EQ(loads, 3) << "queries, keys and values";
    EXPECT_TRUE(cuda::prepare_operands(tiles_of({"causal", 64, 64, ""})).tiles.empty());
}

/** Keys are computed once, by a kernel before; queries by the blocks whose rows they are, unless two chains share
 * them. Inputs come in 16 bytes. */
TEST(CudaPreparation, ReadsWholeChunks) {
    const CudaCompilation c = compile_cuda(instance_of({"rope", 128, 128, ""}).outputs, cuda_target(), {}, "program");
    ASSERT_FALSE(c.general) << c.general_because;
    for (const LaunchPlan &plan : c.package.plans) {
        ASSERT_EQ(plan.kernels.size(), 2u);
        EXPECT_FALSE(plan.kernels[0].overlaps);
        EXPECT_TRUE(plan.kernels[1].overlaps);
        for (const TensorMapSpec &map : plan.tensor_maps) {
            const std::string &buffer = c.package.buffers[map.buffer].name;
            EXPECT_TRUE(buffer != "q" && buffer != "k") << "no copy reads what is computed";
        }
    }
    EXPECT_GE(count(c.ptx, "ld\\.global\\.nc\\.v4\\.b32"), 2 * 12);
    EXPECT_GE(count(c.ptx, "st\\.global\\.v4\\.b32"), 4);
    EXPECT_GE(count(c.ptx, "st\\.shared\\.v4\\.b32"), 4);
    EXPECT_NE(c.package.plans[0].schedule.find("tile(i, 128)\nstream(j, 128)"), std::string::npos)
        << "there is room for such tiles, since the residual comes into the results' buffer\n"
        << c.package.plans[0].schedule;
    EXPECT_NE(c.package.plans.back().schedule.find("gate: stage(0"), std::string::npos);
    EXPECT_NE(c.package.plans.back().schedule.find("tile(i, 128)\nstream(j, 128)"), std::string::npos)
        << "without tiles of elements, the same tiles of rows and keys";
    EXPECT_EQ(count(c.ptx, "prefetch\\.global\\.L2"), int(c.package.plans.size())) << "the next block's queries";
}

/** Heads whose sums read the same elements for each row and key share a block. */
TEST(GeneralPrograms, HeadsShareWhatTheyRead) {
    const CudaCompilation c = compile_cuda(instance_of({"ipa", 16, 16, ""}).outputs, cuda_target(), {}, "program");
    ASSERT_TRUE(c.general);
    ASSERT_EQ(c.package.plans.size(), 4u) << "twelve heads, in parts or not, or sixteen";
    EXPECT_NE(c.package.plans[0].schedule.find("share(h, 12)"), std::string::npos) << c.package.plans[0].schedule;
    EXPECT_NE(c.package.plans[1].schedule.find("split(j, 3)"), std::string::npos) << c.package.plans[1].schedule;
    EXPECT_NE(c.package.plans[3].schedule.find("share(h, 16)"), std::string::npos) << c.package.plans[3].schedule;
    const Count &work = c.package.plans[0].kernels.back().work;
    EXPECT_TRUE(std::any_of(work.begin(), work.end(), [](const CountTerm &t) { return t.divisor == 12; }));
    EXPECT_GT(count(c.ptx, "mma\\.sync"), 0);
    for (const KernelStatistics &k : c.kernels) {
        // Rows whose copies are not aligned need more addresses than there are registers for.
        EXPECT_LE(k.spill_store_bytes + k.spill_load_bytes, 1536) << c.statistics();
    }
    const CudaCompilation without = compile_cuda(instance_of({"mla", 576, 512, ""}).outputs, cuda_target(), {}, "program");
    ASSERT_TRUE(without.general);
    EXPECT_EQ(without.package.plans[0].schedule.find("share"), std::string::npos) << "nothing there is read for each pair";
}

/** Values that are the first features of a latent vector do not have as many as it. */
TEST(CudaParameters, PartsOfADimensionAreNotEqualToIt) {
    const CudaCompilation c = compile_cuda(instance_of({"mla", 192, 128, ""}).outputs, cuda_target(), {}, "program");
    const auto name = [&](int buffer) { return c.package.buffers[buffer].name; };
    bool features = false;
    for (const EqualExtents &e : c.package.equal_extents) {
        const bool latent = name(e.buffer_a) == "latent" || name(e.buffer_b) == "latent";
        if (latent && e.dim_a == 0 && e.dim_b == 0) {
            features = true;
            EXPECT_TRUE(name(e.buffer_a) == "q" || name(e.buffer_b) == "q");
        }
    }
    EXPECT_TRUE(features) << "queries have as many features as the latent vector";
}

}  // namespace
