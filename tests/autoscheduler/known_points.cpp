// The model finds the tiles that measurements found, by resources alone.

#include "../schedule/HandMadePlans.h"
#include "autoscheduler/Search.h"
#include "schedule/ParseSchedule.h"
#include "schedule/PrintSchedule.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;
using hand_made::attention;
using hand_made::Mask;
using hand_made::Options;

namespace {

ScheduleChoice choose(const Options &options, const std::string &shape, const std::string &machine = "sm_90a",
                      const std::string &given = "") {
    hand_made::Example x = attention(options);
    return autoschedule(x.graph, x.plan, capability_of(machine), parse_shape(shape, x.graph, x.plan.roles),
                        parse_schedule(given));
}

Options head(int size, Mask mask = Mask::None) {
    Options o;
    o.head = o.value = size;
    o.mask = mask;
    return o;
}

/** The ranking, for a failing test. */
std::string table(const ScheduleChoice &r) {
    std::ostringstream text;
    for (size_t i = 0; i < r.ranked.size() && i < 8; i++) {
        const Candidate &c = r.ranked[i];
        text << c.choices.query_tile << " x " << c.choices.stream_tile << ", " << c.choices.stages << " stages"
             << (c.choices.pingpong ? ", pingpong" : "") << ": " << c.estimate.milliseconds << " ms\n";
    }
    return text.str();
}

TEST(KnownPoints, Head64) {
    for (const char *shape : {"S=16384 H=16 B=1", "S=4096 H=16 B=4", ""}) {
        ScheduleChoice r = choose(head(64), shape);
        EXPECT_EQ(r.choices.query_tile, 192) << shape << "\n" << table(r);
        EXPECT_EQ(r.choices.stream_tile, 128) << shape << "\n" << table(r);
        EXPECT_EQ(r.choices.consumers, 3);
        EXPECT_EQ(r.choices.consumer_registers, 160);
        EXPECT_EQ(r.choices.producer_registers, 32);
        EXPECT_EQ(r.choices.stages, 3) << "the sums of a turn may then take long";
        EXPECT_TRUE(r.choices.held.empty()) << "three warpgroups have no registers left";
        EXPECT_TRUE(r.choices.pingpong) << table(r);
        EXPECT_TRUE(r.choices.persistent);
        EXPECT_EQ(r.choices.rescale_bits, 8);
        EXPECT_FALSE(r.choices.query_descending);
    }
}

TEST(KnownPoints, Head128) {
    for (const std::string shape : {"S=16384 H=16 B=1", "S=1024 H=16 B=16", ""}) {
        for (Mask mask : {Mask::None, Mask::Causal}) {
            ScheduleChoice r = choose(head(128, mask), shape);
            EXPECT_EQ(r.choices.query_tile, 128) << shape << "\n" << table(r);
            EXPECT_EQ(r.choices.stream_tile, 128) << shape << "\n" << table(r);
            EXPECT_EQ(r.choices.held.size(), mask == Mask::None ? 1u : 0u) << shape << "\n" << table(r);
            EXPECT_EQ(r.choices.consumers, 2);
            EXPECT_EQ(r.choices.consumer_registers, 232);
            EXPECT_EQ(r.choices.producer_registers, 40);
            EXPECT_EQ(r.choices.stages, 2);
            EXPECT_FALSE(r.choices.pingpong) << table(r);
        }
    }
}

TEST(KnownPoints, CausalRowsGrow) {
    for (const char *shape : {"S=16384 H=16 B=1", "S=4096 H=16 B=4", "S=1024 H=16 B=16"}) {
        ScheduleChoice r = choose(head(64, Mask::Causal), shape);
        EXPECT_EQ(r.choices.query_tile, 192) << shape << "\n" << table(r);
        EXPECT_EQ(r.choices.stream_tile, 128) << shape << "\n" << table(r);
        EXPECT_EQ(r.choices.stages, r.choices.pingpong ? 3 : 2) << shape << "\n" << table(r);
        EXPECT_TRUE(r.choices.pingpong || std::string(shape) == "S=1024 H=16 B=16") << "with short rows it is even\n"
                                                                                    << table(r);
        EXPECT_TRUE(r.choices.query_descending);
    }
    ScheduleChoice r = choose(head(64, Mask::Causal), "S=16384 H=16 B=1");
    EXPECT_NEAR(r.estimate.visits[0].mean, 64.5, 0.5) << "half of 128 tiles, for each 64 rows";
    EXPECT_LT(r.estimate.visits[0].partial, 0.05);
}

struct Measured {
    int head;
    Mask mask;
    const char *shape;
    double milliseconds;
    const char *schedule;
};

constexpr const char *rows192 = "tile(i, 192) stream(j, 128) k, v: stage(2) pingpong";
constexpr const char *rows128 = "tile(i, 128) stream(j, 128) k, v: stage(2) pingpong(off)";
constexpr const char *window128 = "tile(i, 128) stream(j, 64) k, v: stage(4) pingpong(off)";

/** benchmarks/results/h200.json: our kernels on an H200, times within 8 %. (Windows at head dimension 64 ran under
 * another schedule than today's.) */
TEST(KnownPoints, PredictionsAgreeWithMeasurements) {
    const Measured rows[] = {
        {64, Mask::None, "S=16384 H=16 B=1", 2.2792, rows192},
        {64, Mask::None, "S=4096 H=16 B=4", 0.5694, rows192},
        {64, Mask::None, "S=1024 H=16 B=16", 0.1600, rows192},
        {128, Mask::None, "S=16384 H=16 B=1", 3.6616, rows128},
        {128, Mask::None, "S=4096 H=16 B=4", 0.9221, rows128},
        {128, Mask::None, "S=1024 H=16 B=16", 0.2495, rows128},
        {64, Mask::Causal, "S=16384 H=16 B=1", 1.1665, rows192},
        {64, Mask::Causal, "S=4096 H=16 B=4", 0.3159, rows192},
        {64, Mask::Causal, "S=1024 H=16 B=16", 0.1120, rows192},
        {128, Mask::Causal, "S=16384 H=16 B=1", 1.9302, rows128},
        {128, Mask::Causal, "S=4096 H=16 B=4", 0.5152, rows128},
        {128, Mask::Causal, "S=1024 H=16 B=16", 0.1623, rows128},
        {128, Mask::Window, "S=16384 H=16 B=1 window=256", 0.1260, window128},
        {128, Mask::Window, "S=4096 H=16 B=4 window=256", 0.1267, window128},
        {128, Mask::Window, "S=1024 H=16 B=16 window=256", 0.1189, window128},
    };
    for (const Measured &row : rows) {
        ScheduleChoice r = choose(head(row.head, row.mask), row.shape, "sm_90a", row.schedule);
        const double predicted = r.estimate.milliseconds;
        EXPECT_NEAR(predicted / row.milliseconds, 1, 0.08)
            << "D=" << row.head << " " << row.shape << ": predicted " << predicted << ", measured " << row.milliseconds;
    }
}

/** Measured on an H200: head dimension 128 and every key visible, queries in shared memory, 160 keys at a time take 4.6 %
 * less than 128 at 16,384 keys, and more at 1,024. */
TEST(KnownPoints, WideTilesPayOnLongRows) {
    const std::string shared = " scores: mma(wgmma, bf16, a=shared)";
    const std::string wide = "tile(i, 128) stream(j, 160) k, v: stage(2) pingpong(off)" + shared;
    auto ratio = [&](const char *shape) {
        return choose(head(128), shape, "sm_90a", wide).estimate.milliseconds /
               choose(head(128), shape, "sm_90a", rows128 + shared).estimate.milliseconds;
    };
    EXPECT_LT(ratio("S=16384 H=16 B=1"), 0.99);
    EXPECT_GT(ratio("S=1024 H=16 B=16"), 1.01);
}

/** Measured on an H100: with the queries in registers, 1 to 3 % less time where every key is visible. A mask leaves nothing
 * of that: the power is not what the time is lost with. */
TEST(KnownPoints, RowsInRegistersSavePower) {
    auto ratio = [&](Mask mask, const char *shape) {
        const std::string tiles = std::string(rows128) + " scores: mma(wgmma, bf16";
        return choose(head(128, mask), shape, "sm_90a", tiles + ", a=registers)").estimate.milliseconds /
               choose(head(128, mask), shape, "sm_90a", tiles + ")").estimate.milliseconds;
    };
    for (const char *shape : {"S=16384 H=16 B=1", "S=4096 H=16 B=4", "S=1024 H=16 B=16"}) {
        EXPECT_LT(ratio(Mask::None, shape), 0.995) << shape;
        EXPECT_GT(ratio(Mask::None, shape), 0.97) << shape;
        EXPECT_GE(ratio(Mask::Causal, shape), 1) << shape;
    }
}

/** Short windows visit few tiles: large ones waste keys at the edges, and more of the small ones must be in
 * flight, for the warpgroups of a block are at different ones. */
TEST(KnownPoints, SlidingWindow) {
    for (int size : {64, 128}) {
        for (const char *shape :
             {"S=16384 H=16 B=1 window=256", "S=4096 H=16 B=4 window=256", "S=1024 H=16 B=16 window=256"}) {
            ScheduleChoice r = choose(head(size, Mask::Window), shape);
            EXPECT_EQ(r.choices.query_tile, size == 64 ? 192 : 128) << shape << "\n" << table(r);
            EXPECT_EQ(r.choices.stream_tile, 64) << shape << "\n" << table(r);
            // Measured: 4 stages take 2 to 5 % less than 3 at head dimension 64, 0 to 1 % at 128.
            EXPECT_GE(r.choices.stages, size == 64 ? 4 : 3) << shape << "\n" << table(r);
            EXPECT_FALSE(r.choices.pingpong) << "turns hold up warpgroups that skip different tiles\n" << table(r);
        }
    }
    ScheduleChoice r = choose(head(64, Mask::Window), "S=16384 H=16 B=1 window=256");
    EXPECT_NEAR(r.estimate.visits[0].mean, 5, 0.2) << "64 rows and 256 keys before them";
    EXPECT_NEAR(r.estimate.visits[0].of_block, 7, 0.3) << "192 rows and 256 keys before them";
    EXPECT_EQ(r.estimate.visits[0].tiles, 16384 / r.choices.stream_tile);
    EXPECT_FALSE(r.estimate.visits[0].data_dependent);
    ScheduleChoice full = choose(head(64), "S=16384 H=16 B=1");
    EXPECT_LT(r.estimate.milliseconds, full.estimate.milliseconds / 15);
}

/** As measured: documents end anywhere, so tiles are narrow where documents are short, and several of them
 * are in flight; with long documents wider ones save steps (4 stages of 64, 96, 112 keys took 0.283, 0.260, 0.260 ms
 * at 16,384 and 0.075, 0.077, 0.084 ms at 1,024; 2 stages of 112 took 0.263 and 0.089). */
TEST(KnownPoints, DocumentMasks) {
    for (const std::string shape : {"S=16384 H=16 B=1", "S=4096 H=16 B=4", "S=1024 H=16 B=16"}) {
        ScheduleChoice r = choose(head(64, Mask::Document), shape);
        const bool short_rows = shape == "S=1024 H=16 B=16";
        EXPECT_EQ(r.choices.query_tile, 192) << shape << "\n" << table(r);
        EXPECT_GE(r.choices.stream_tile, short_rows ? 64 : 96) << shape << "\n" << table(r);
        EXPECT_LE(r.choices.stream_tile, 96) << shape << "\n" << table(r);
        EXPECT_EQ(r.choices.stages, 4) << shape << "\n" << table(r);
        EXPECT_FALSE(r.choices.pingpong) << "nobody knows whose turn comes to nothing\n" << shape << "\n" << table(r);
        EXPECT_EQ(r.choices.producer_registers, 56) << "it judges tiles";
    }
}

/** Nothing is known of the data, so a twelfth of the keys, in one run, is taken for what each row sees. */
TEST(KnownPoints, DataDependentMasksAssumeARun) {
    ScheduleChoice r = choose(head(64, Mask::Document), "S=4096 H=16 B=4");
    const TileVisits &v = r.estimate.visits[0];
    EXPECT_TRUE(v.data_dependent);
    EXPECT_TRUE(v.judged);
    const int run = 4096 / assumed_documents;
    EXPECT_NEAR(v.mean, (run + 64) / (double)r.choices.stream_tile + 1, 0.01);
    EXPECT_NEAR(v.of_block, (run + r.choices.query_tile) / (double)r.choices.stream_tile + 1, 0.01);
    EXPECT_NEAR(v.partial * v.mean, 2, 0.01) << "its two ends";
    ScheduleChoice shorter = choose(head(64, Mask::Document), "S=256 H=16 B=4");
    EXPECT_LE(shorter.estimate.visits[0].mean, (double)shorter.estimate.visits[0].tiles);
}

/** tanh and exp share a unit: it becomes the bottleneck. */
TEST(KnownPoints, SoftcapIsBoundBySpecialFunctions) {
    Options o = head(64);
    o.softcap = true;
    ScheduleChoice r = choose(o, "S=16384 H=16 B=1");
    EXPECT_EQ(r.estimate.bound, "special functions");
    EXPECT_NEAR(r.estimate.passes[0].special / r.estimate.passes[0].tensor, 2, 0.01);
    EXPECT_EQ(choose(head(128), "S=16384 H=16 B=1").estimate.bound, "tensor");
}

/** A second score fragment leaves less room for each. */
TEST(KnownPoints, TwoSoftmaxesShrinkTheTile) {
    Options o = head(64);
    o.heads_per_output = 2;
    ScheduleChoice r = choose(o, "S=4096 H=8 B=4");
    EXPECT_LT((int64_t)r.choices.query_tile * r.choices.stream_tile, 192 * 128) << table(r);
    EXPECT_LE(r.estimate.footprint.registers, r.choices.consumer_registers);
}

TEST(KnownPoints, Head256) {
    ScheduleChoice r = choose(head(256), "S=4096 H=8 B=4");
    EXPECT_EQ(r.choices.query_tile, 128) << table(r);
    EXPECT_GE(r.choices.stream_tile, 48) << table(r);
    EXPECT_LE(r.choices.stream_tile, 96) << table(r);
}

TEST(KnownPoints, Cpu) {
    for (const char *machine : {"x86-avx2", "x86-avx512"}) {
        for (Mask mask : {Mask::None, Mask::Causal}) {
            Options o = head(64, mask);
            o.element = Halide::Float(32);
            ScheduleChoice r = choose(o, "S=2048 H=16 B=1", machine);
            // Measured on both: 256 x 128 is 2 to 5 % faster than 128 x 128 and 128 x 64, 256 x 256 slower with AVX-512.
            EXPECT_EQ(r.choices.query_tile, 256) << table(r);
            EXPECT_LE(r.choices.stream_tile, 128) << table(r);
            EXPECT_EQ(r.choices.vector_lanes, std::string(machine) == "x86-avx2" ? 8 : 16);
        }
    }
}

}  // namespace
