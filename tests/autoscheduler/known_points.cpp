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

/** TFLOP/s by the count that the field uses. */
double tflops(const ScheduleChoice &r, double density) {
    double points = 4e-9 * density;
    for (const char *axis : {"i", "j", "d", "h", "b"}) {
        points *= (double)r.shape.sizes.at(axis);
    }
    return points / r.estimate.milliseconds;
}

TEST(KnownPoints, Head64) {
    for (const char *shape : {"S=16384 H=16 B=1", "S=4096 H=16 B=4", ""}) {
        ScheduleChoice r = choose(head(64), shape);
        EXPECT_EQ(r.choices.query_tile, 192) << shape << "\n" << table(r);
        EXPECT_EQ(r.choices.stream_tile, 128) << shape << "\n" << table(r);
        EXPECT_EQ(r.choices.consumers, 3);
        EXPECT_EQ(r.choices.consumer_registers, 160);
        EXPECT_EQ(r.choices.producer_registers, 32);
        EXPECT_EQ(r.choices.stages, 2);
        EXPECT_TRUE(r.choices.pingpong) << table(r);
        EXPECT_TRUE(r.choices.persistent);
        EXPECT_EQ(r.choices.rescale_bits, 8);
        EXPECT_FALSE(r.choices.query_descending);
    }
}

TEST(KnownPoints, Head128) {
    for (const char *shape : {"S=16384 H=16 B=1", "S=4096 H=16 B=4", ""}) {
        for (Mask mask : {Mask::None, Mask::Causal}) {
            ScheduleChoice r = choose(head(128, mask), shape);
            EXPECT_EQ(r.choices.query_tile, 128) << shape << "\n" << table(r);
            EXPECT_GE(r.choices.stream_tile, 128) << shape << "\n" << table(r);
            EXPECT_LE(r.choices.stream_tile, 176) << shape << "\n" << table(r);
            EXPECT_EQ(r.choices.consumers, 2);
            EXPECT_EQ(r.choices.consumer_registers, 232);
            EXPECT_EQ(r.choices.producer_registers, 40);
            EXPECT_EQ(r.choices.stages, 2);
            EXPECT_FALSE(r.choices.pingpong) << table(r);
        }
    }
}

TEST(KnownPoints, CausalRowsGrow) {
    ScheduleChoice r = choose(head(64, Mask::Causal), "S=16384 H=16 B=1");
    EXPECT_EQ(r.choices.query_tile, 192) << table(r);
    EXPECT_TRUE(r.choices.query_descending);
    EXPECT_NEAR(r.estimate.visits[0].mean, 65, 1) << "half of 128 tiles";
    EXPECT_LT(r.estimate.visits[0].partial, 0.05);
}

/** Times measured on one H200 with hand-placed kernels, in TFLOP/s, within 8 %. */
TEST(KnownPoints, PredictionsAgreeWithMeasurements) {
    struct {
        int head;
        Mask mask;
        const char *shape;
        double measured;
    } rows[] = {{64, Mask::None, "S=4096 H=16 B=4", 464},   {64, Mask::None, "S=16896 H=16 B=1", 514},
                {128, Mask::None, "S=1024 H=16 B=16", 540}, {128, Mask::None, "S=4096 H=16 B=4", 622},
                {128, Mask::None, "S=16896 H=16 B=1", 662}, {128, Mask::Causal, "S=16896 H=16 B=1", 598},
                {64, Mask::Causal, "S=16896 H=16 B=1", 478}};
    for (const auto &row : rows) {
        ScheduleChoice r = choose(head(row.head, row.mask), row.shape);
        const double predicted = tflops(r, row.mask == Mask::Causal ? 0.5 : 1);
        EXPECT_NEAR(predicted / row.measured, 1, 0.08)
            << "D=" << row.head << " " << row.shape << ": predicted " << predicted << ", measured " << row.measured;
    }
}

/** Short windows visit few tiles; large ones waste rows. */
TEST(KnownPoints, SlidingWindow) {
    ScheduleChoice r = choose(head(64, Mask::Window), "S=16384 H=16 B=1 window=256");
    EXPECT_LE(r.estimate.visits[0].mean, 5.5);
    EXPECT_EQ(r.estimate.visits[0].tiles, 16384 / r.choices.stream_tile);
    EXPECT_FALSE(r.estimate.visits[0].data_dependent);
    ScheduleChoice full = choose(head(64), "S=16384 H=16 B=1");
    EXPECT_LT(r.estimate.milliseconds, full.estimate.milliseconds / 15);
}

TEST(KnownPoints, DataDependentMasksAssumeNothing) {
    ScheduleChoice r = choose(head(64, Mask::Document), "S=4096 H=16 B=4");
    EXPECT_TRUE(r.estimate.visits[0].data_dependent);
    EXPECT_DOUBLE_EQ(r.estimate.visits[0].partial, 1);
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
            EXPECT_GE(r.choices.query_tile, 64) << table(r);
            EXPECT_LE(r.choices.query_tile, 128) << table(r);
            EXPECT_GE(r.choices.stream_tile, 128) << table(r);
            EXPECT_LE(r.choices.stream_tile, 512) << table(r);
            EXPECT_EQ(r.choices.vector_lanes, std::string(machine) == "x86-avx2" ? 8 : 16);
        }
    }
}

}  // namespace
