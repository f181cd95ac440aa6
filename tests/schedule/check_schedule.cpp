// What a legal schedule becomes, and what is filled in when it leaves things open.

#include "HandMadePlans.h"
#include "schedule/CheckSchedule.h"
#include "schedule/CompleteChoices.h"
#include "schedule/ParseSchedule.h"
#include "schedule/PrintSchedule.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;
using hand_made::attention;
using hand_made::Mask;
using hand_made::Options;

namespace {

Choices check(const std::string &text, const Options &options = {}, const std::string &machine = "sm_90a") {
    hand_made::Example x = attention(options);
    return check_schedule(parse_schedule(text), x.graph, x.plan, capability_of(machine));
}

TEST(CheckSchedule, EveryDirectiveArrives) {
    Options options;
    options.mask = Mask::Causal;
    Choices c = check(R"(
        tile(i, 128)  stream(j, 96)
        online(row_max, row_sum, out)
        k, v: stage(3, tma)
        scores: mma(wgmma, bf16)      out: mma(wgmma, bf16, a=registers)
        warps(consumers=2, producer=1, registers=232:40)
        pingpong persistent(off)
        skip(off)  specialize(off)
        rescale_when(4)
        blocks(i, h, b))",
                      options);
    EXPECT_EQ(c.query_tile, 128);
    EXPECT_EQ(c.stream_tile, 96);
    EXPECT_EQ(c.stages, 3);
    EXPECT_EQ(c.consumers, 2);
    EXPECT_EQ(c.producers, 1);
    EXPECT_EQ(c.consumer_registers, 232);
    EXPECT_EQ(c.producer_registers, 40);
    EXPECT_TRUE(c.pingpong);
    EXPECT_FALSE(c.persistent);
    EXPECT_FALSE(c.skip_dead);
    EXPECT_FALSE(c.specialize_full);
    EXPECT_FALSE(c.query_descending);
    EXPECT_EQ(c.rescale_bits, 4);
    EXPECT_EQ(c.instruction, "wgmma");
    EXPECT_EQ(c.copies, "tma");
    EXPECT_EQ(c.mma, (std::map<std::string, std::string>{{"scores", "bf16"}, {"acc", "bf16"}}));
    EXPECT_EQ(c.block_order, (std::vector<std::string>{"h", "b"}));
}

TEST(CheckSchedule, NothingGiven) {
    Options options;
    options.mask = Mask::Causal;
    Choices c = check("", options);
    EXPECT_EQ(c.query_tile, 192);
    EXPECT_EQ(c.stream_tile, 128);
    EXPECT_EQ(c.consumers, 3);
    EXPECT_EQ(c.consumer_registers, 160);
    EXPECT_EQ(c.producer_registers, 32);
    EXPECT_TRUE(c.persistent && c.pingpong && c.skip_dead && c.specialize_full);
    EXPECT_TRUE(c.query_descending) << "later rows see more keys";
    EXPECT_EQ(c.rescale_bits, 8);
    options.mask = Mask::Window;
    EXPECT_FALSE(check("", options).query_descending) << "all rows see as many keys";
}

TEST(CheckSchedule, GeneralKernelsTakeAnyTiles) {
    const Choices c = check("tile(i, 24)  stream(j, 40)  kernel(general)");
    EXPECT_TRUE(c.general);
    EXPECT_EQ(c.query_tile, 24);
    EXPECT_EQ(c.stream_tile, 40);
    EXPECT_EQ(c.consumers + c.producers, 0);
    EXPECT_FALSE(c.persistent || c.pingpong);
    EXPECT_FALSE(check("").general);
}

TEST(CheckSchedule, TilesImplyWarpsAndRegisters) {
    Choices c = check("tile(i, 128)");
    EXPECT_EQ(c.consumers, 2);
    EXPECT_EQ(c.consumer_registers, 232);
    EXPECT_EQ(c.producer_registers, 40);
    EXPECT_FALSE(c.pingpong);
    c = check("warps(consumers=1)");
    EXPECT_EQ(c.query_tile, 64);
    c = check("stream(j, 176)");
    EXPECT_EQ(c.query_tile, 128) << "three warpgroups lack the registers for 176 columns";
}

TEST(CheckSchedule, WideHeadsTakeSmallerTiles) {
    Options options;
    options.head = options.value = 128;
    Choices c = check("", options);
    EXPECT_EQ(c.query_tile, 128);
    EXPECT_EQ(c.consumers, 2);
    options.head = options.value = 256;
    c = check("", options);
    EXPECT_LE(c.stream_tile, 96);
    EXPECT_GE(c.stream_tile, 48);
}

TEST(CheckSchedule, TwoSoftmaxesTakeTwoFragments) {
    Options options;
    options.heads_per_output = 2;
    hand_made::Example x = attention(options);
    Workload work = workload_of(x.graph, x.plan);
    ASSERT_EQ(work.contractions.size(), 4u);
    ASSERT_EQ(work.passes.size(), 1u);
    EXPECT_EQ(work.passes[0].weight_tiles, 2);
    EXPECT_EQ(work.passes[0].running_pivots, 2);
    Choices c;
    c.query_tile = 128;
    c.stream_tile = 64;
    Footprint f = footprint_of(work, c, capability_of("sm_90a"));
    ASSERT_TRUE(f.known);
    EXPECT_EQ(f.register_terms[0].amount, 64) << "two fragments of 64 x 64";
    EXPECT_EQ(f.register_terms[1].amount, 64) << "two accumulators of 64 x 64";
    EXPECT_EQ(f.register_terms[2].amount, 32) << "two packed weights";
}

/** A thread's share of 64 rows x 128 columns of 16 bits. */
TEST(CheckSchedule, RowsInRegistersAreCounted) {
    Options options;
    options.head = options.value = 128;
    const std::string tiles = "tile(i, 128) stream(j, 128) scores: mma(wgmma, bf16";
    const Choices held = check(tiles + ", a=registers)", options), shared = check(tiles + ")", options);
    EXPECT_EQ(held.held, (std::set<std::string>{"scores"}));
    EXPECT_TRUE(shared.held.empty());
    EXPECT_FALSE(held == shared);
    hand_made::Example x = attention(options);
    const Workload work = workload_of(x.graph, x.plan);
    const Capability machine = capability_of("sm_90a");
    EXPECT_EQ(footprint_of(work, held, machine).registers, footprint_of(work, shared, machine).registers + 32);
    EXPECT_EQ(check_schedule(schedule_of(held, x.graph, x.plan, work, machine), x.graph, x.plan, machine), held);
    EXPECT_THROW(check("tile(i, 128) stream(j, 160) scores: mma(wgmma, bf16, a=registers)", options), UserError);
}

TEST(CheckSchedule, SharedMemoryIsCounted) {
    hand_made::Example x = attention();
    Workload work = workload_of(x.graph, x.plan);
    Choices c;
    c.query_tile = 192;
    c.stream_tile = 128;
    c.consumers = 3;
    Footprint f = footprint_of(work, c, capability_of("sm_90a"));
    EXPECT_EQ(f.shared_bytes, 192 * 64 * 2 + 2 * 2 * 128 * 64 * 2 + 192 * 64 * 2 + 2048);
    EXPECT_TRUE(f.rows_ahead) << "a second tile of q fits";
    EXPECT_EQ(f.threads, 512);
    EXPECT_EQ(f.blocks_per_multiprocessor, 1);
}

TEST(CheckSchedule, UnknownHeadSizeIsLeftToTheTiles) {
    hand_made::Example x = attention();
    for (Axis &a : x.graph.axes) {
        a.extent = a.name == "d" || a.name == "c" ? hand_made::axis("unknown") : a.extent;
    }
    Choices c = check_schedule(Schedule(), x.graph, x.plan, capability_of("sm_90a"));
    EXPECT_EQ(c.query_tile, 192);
    EXPECT_FALSE(footprint_of(workload_of(x.graph, x.plan), c, capability_of("sm_90a")).known);
    EXPECT_TRUE(footprint_of(workload_of(x.graph, x.plan, {{"c", 64}, {"d", 64}}), c, capability_of("sm_90a")).known);
}

TEST(CheckSchedule, NamesMayLeaveOutHalidesSuffix) {
    hand_made::Example x = attention();
    for (Reduction &r : x.graph.reductions) {
        r.name = r.name == "row_max" ? "row_max$3" : r.name;
    }
    EXPECT_NO_THROW(
        check_schedule(parse_schedule("online(row_max, row_sum, out)"), x.graph, x.plan, capability_of("sm_90a")));
}

TEST(CheckSchedule, BarriersAreRecomputed) {
    Options options;
    options.threshold = true;
    EXPECT_NO_THROW(check("recompute(threshold) online(row_max, row_sum, out)", options));
}

TEST(CheckSchedule, HarmlessDirectivesWarn) {
    hand_made::Example x = attention();
    std::vector<std::string> warnings;
    check_schedule(parse_schedule("skip(mask) specialize(full, partial)", "f.strobe"), x.graph, x.plan,
                   capability_of("sm_90a"), {}, &warnings);
    ASSERT_EQ(warnings.size(), 2u);
    EXPECT_EQ(warnings[0], "f.strobe:1:1: skip(mask) has no effect: no element is masked");
}

TEST(CheckSchedule, Cpu) {
    Choices c = check("tile(i, 96) stream(j, 256) vectorize(i, 16) parallel(i, h, b)", {}, "x86-avx2");
    EXPECT_EQ(c.query_tile, 96);
    EXPECT_EQ(c.stream_tile, 256);
    EXPECT_EQ(c.vector_lanes, 16);
    EXPECT_FALSE(c.persistent);
    EXPECT_EQ(check("", {}, "x86-avx2").vector_lanes, 8);
    EXPECT_EQ(check("", {}, "x86-avx512").vector_lanes, 16);
}

/** The directives that describe some choices give them back. */
TEST(CheckSchedule, ChoicesToDirectivesAndBack) {
    for (const char *machine : {"sm_90a", "sm_80", "x86-avx2"}) {
        for (Mask mask : {Mask::None, Mask::Causal, Mask::Window, Mask::Document}) {
            for (int head : {64, 128}) {
                Options options;
                options.mask = mask;
                options.head = options.value = head;
                hand_made::Example x = attention(options);
                Capability capability = capability_of(machine);
                Choices c = check_schedule(Schedule(), x.graph, x.plan, capability);
                Schedule s = schedule_of(c, x.graph, x.plan, workload_of(x.graph, x.plan), capability);
                EXPECT_EQ(check_schedule(s, x.graph, x.plan, capability), c) << machine << "\n" << s;
            }
        }
    }
}

}  // namespace
