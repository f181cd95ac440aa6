// What the automatic scheduler returns: ordinary schedules, and reasons.

#include "autoscheduler/Search.h"
#include "../schedule/HandMadePlans.h"
#include "schedule/CheckSchedule.h"
#include "schedule/ParseSchedule.h"
#include "schedule/PrintSchedule.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;
using hand_made::attention;
using hand_made::Mask;
using hand_made::Options;

namespace {

ScheduleChoice choose(const Options &options, const std::string &given, const std::string &machine = "sm_90a") {
    hand_made::Example x = attention(options);
    return autoschedule(x.graph, x.plan, capability_of(machine), {}, parse_schedule(given));
}

Options causal() {
    Options o;
    o.mask = Mask::Causal;
    return o;
}

/** The result can be printed, read back and checked, and means the same. */
TEST(Search, EmitsOrdinarySchedules) {
    for (const char *machine : {"sm_90a", "sm_80", "x86-avx2"}) {
        for (Mask mask : {Mask::None, Mask::Causal, Mask::Window, Mask::Document}) {
            for (int size : {32, 64, 96, 128, 192, 256}) {
                Options o;
                o.mask = mask;
                o.head = o.value = size;
                hand_made::Example x = attention(o);
                const Capability capability = capability_of(machine);
                ScheduleChoice r = autoschedule(x.graph, x.plan, capability);
                Schedule again = parse_schedule(to_string(r.schedule));
                EXPECT_EQ(again, r.schedule);
                EXPECT_EQ(check_schedule(again, x.graph, x.plan, capability), r.choices)
                    << machine << ", head " << size << "\n"
                    << r.schedule;
            }
        }
    }
}

TEST(Search, Golden) {
    EXPECT_EQ(to_string(choose(causal(), "").schedule), R"(tile(i, 192)
stream(j, 128)
online(row_max, row_sum, acc)
k, v: stage(3, tma)
scores: mma(wgmma, bf16)
acc: mma(wgmma, bf16)
warps(consumers=3, producer=1, registers=160:32)
pingpong
persistent
skip(mask)
specialize(full, partial)
rescale_when(8)
blocks(i descending, h, b)
)");
}

/** Hand-written directives stay, word for word; the others are chosen around them. */
TEST(Search, KeepsWhatIsGiven) {
    ScheduleChoice r = choose(causal(), "stream(j, 176)\nout: mma(wgmma, bf16, a=registers)\npingpong(off)");
    EXPECT_EQ(r.choices.stream_tile, 176);
    EXPECT_EQ(r.choices.query_tile, 128) << "three warpgroups lack the registers";
    EXPECT_FALSE(r.choices.pingpong);
    const std::string text = to_string(r.schedule);
    EXPECT_NE(text.find("out: mma(wgmma, bf16, a=registers)"), std::string::npos) << text;
    EXPECT_EQ(text.find("acc: mma"), std::string::npos) << text;
    EXPECT_NE(text.find("scores: mma(wgmma, bf16)"), std::string::npos) << text;
    EXPECT_NE(text.find("pingpong(off)"), std::string::npos) << text;
    EXPECT_TRUE(r.given);
}

TEST(Search, EachDirectiveCanBeFixed) {
    for (const char *given :
         {"tile(i, 64)", "tile(i, 128)", "tile(i, 192)", "tile(i, 256)", "stream(j, 64)", "warps(consumers=2)",
          "warps(consumers=1, registers=128:24)", "k, v: stage(3)", "pingpong(off)", "persistent(off)", "skip(off)",
          "specialize(off)", "blocks(i, h, b)", "rescale_when(0)", "online(row_max, out)"}) {
        ScheduleChoice r = choose(causal(), given);
        const Directive fixed = parse_schedule(given).directives[0];
        ASSERT_NE(r.schedule.find(fixed.name), nullptr) << given << "\n" << r.schedule;
        EXPECT_EQ(*r.schedule.find(fixed.name), fixed) << given << "\n" << r.schedule;
    }
}

TEST(Search, IllegalGivenIsRefused) {
    EXPECT_THROW(choose(causal(), "tile(i, 100)"), UserError);
    EXPECT_THROW(choose(causal(), "tile(i, 192) stream(j, 256)"), UserError);
}

TEST(Search, RejectionsHaveReasons) {
    Options o;
    o.head = o.value = 128;
    ScheduleChoice r = choose(o, "");
    ASSERT_FALSE(r.rejected.empty());
    int registers = 0, shared = 0;
    for (const Rejection &rejection : r.rejected) {
        registers += rejection.reason.find("registers") != std::string::npos ? rejection.count : 0;
        shared += rejection.reason.find("shared memory") != std::string::npos ? rejection.count : 0;
        EXPECT_FALSE(rejection.example.empty());
    }
    EXPECT_GT(registers, 0);
    EXPECT_GT(shared, 0);
    EXPECT_EQ(r.ranked.size() + registers + shared, 450u)
        << "every candidate is accounted for, with its rows in registers and without";
    EXPECT_GE(r.within(0.03), 1);
    EXPECT_LE(r.within(0.03), (int)r.ranked.size());
}

TEST(Search, TwoPassesCostMore) {
    Options o;
    const double one = choose(o, "").estimate.milliseconds;
    o.threshold = true;
    ScheduleChoice r = choose(o, "");
    EXPECT_EQ(r.estimate.passes.size(), 2u);
    EXPECT_GT(r.estimate.milliseconds, 1.3 * one);
    EXPECT_NE(to_string(r.schedule).find("recompute(threshold)\nonline(row_max, row_sum, acc)"), std::string::npos)
        << r.schedule;
}

TEST(Search, FloatInputsAreNotRounded) {
    Options o;
    o.element = Halide::Float(32);
    ScheduleChoice r = choose(o, "");
    EXPECT_TRUE(r.choices.mma.empty());
    EXPECT_TRUE(r.choices.instruction.empty());
}

/** The queries stay in shared memory, where the tiles differ by length. */
Schedule shared_rows() {
    return Schedule().mma("scores", "wgmma", "bf16", "shared");
}

/** Long rows pay for wider tiles, short ones for the next block's rows in shared memory. */
TEST(Search, SeveralShapes) {
    Options o;
    o.head = o.value = 128;
    hand_made::Example x = attention(o);
    std::vector<Shape> shapes;
    for (const char *text : {"S=512 H=16 B=32", "S=1024 H=16 B=16", "S=16384 H=16 B=1"}) {
        shapes.push_back(parse_shape(text, x.graph, x.plan.roles));
    }
    const Capability machine = capability_of("sm_90a");
    const ScheduleSet set = autoschedule_shapes(x.graph, x.plan, machine, shapes, shared_rows());
    ASSERT_EQ(set.choices.size(), 2u);
    EXPECT_EQ(set.choices[0].choices.stream_tile, 128) << "serves two of the three";
    EXPECT_EQ(set.choices[1].choices.stream_tile, 160);
    EXPECT_EQ(set.fastest, (std::vector<int>{0, 0, 1}));
    EXPECT_DOUBLE_EQ(set.slowdown(1, 2), 1);
    EXPECT_GT(set.slowdown(0, 2), 1 + least_gain) << "else one schedule would do";
    EXPECT_GT(set.slowdown(1, 1), 1.05);
    EXPECT_EQ(autoschedule_shapes(x.graph, x.plan, machine, {shapes[0], shapes[0]}, shared_rows()).choices.size(), 1u);
}

/** A second schedule must gain something. */
TEST(Search, OneScheduleIfItIsGoodEnough) {
    Options o;
    o.head = o.value = 128;
    hand_made::Example x = attention(o);
    const Capability machine = capability_of("sm_90a");
    const std::vector<Shape> shapes = typical_shapes(x.graph, x.plan.roles);
    ASSERT_EQ(shapes.size(), 3u);
    EXPECT_EQ(autoschedule_shapes(x.graph, x.plan, machine, shapes, shared_rows()).choices.size(), 2u);
    const ScheduleSet loose = autoschedule_shapes(x.graph, x.plan, machine, shapes, shared_rows(), 0.03);
    ASSERT_EQ(loose.choices.size(), 1u);
    EXPECT_EQ(loose.choices[0].choices.stream_tile, 128);
    const ScheduleSet given = autoschedule_shapes(x.graph, x.plan, machine, shapes, Schedule().stream("j", 96));
    for (const ScheduleChoice &c : given.choices) {
        EXPECT_EQ(c.choices.stream_tile, 96);
    }
    for (Mask mask : {Mask::Causal, Mask::Window}) {
        Options masked;
        masked.mask = mask;
        hand_made::Example y = attention(masked);
        EXPECT_EQ(autoschedule_shapes(y.graph, y.plan, machine, typical_shapes(y.graph, y.plan.roles)).choices.size(),
                  1u)
            << (int)mask;
    }
    // What a mask over data leaves of long rows is a guess, and no reason for another kernel.
    Options documents;
    documents.mask = Mask::Document;
    documents.head = documents.value = 128;
    hand_made::Example y = attention(documents);
    const ScheduleSet one = autoschedule_shapes(y.graph, y.plan, machine, typical_shapes(y.graph, y.plan.roles));
    EXPECT_EQ(one.choices.size(), 1u);
    EXPECT_TRUE(one.assumed);
}

TEST(Shape, Letters) {
    hand_made::Example x = attention(causal());
    Shape s = parse_shape("Sk=100 S=16384 D=64 Dv=128 H=16 B=2", x.graph, x.plan.roles);
    EXPECT_EQ(s.sizes.at("i"), 16384);
    EXPECT_EQ(s.sizes.at("j"), 100);
    EXPECT_EQ(s.sizes.at("c"), 64);
    EXPECT_EQ(s.sizes.at("d"), 128);
    EXPECT_EQ(s.sizes.at("h"), 16);
    EXPECT_EQ(s.sizes.at("b"), 2);
    Options o;
    o.mask = Mask::Window;
    x = attention(o);
    EXPECT_EQ(parse_shape("window=256", x.graph, x.plan.roles).scalars.at("window"), 256);
    EXPECT_EQ(parse_shape("i=7", x.graph, x.plan.roles).sizes.at("i"), 7);
}

TEST(Shape, Errors) {
    hand_made::Example x = attention(causal());
    auto message = [&](const std::string &text) -> std::string {
        try {
            parse_shape(text, x.graph, x.plan.roles);
        } catch (const UserError &e) {
            return e.what();
        }
        return "accepted";
    };
    EXPECT_NE(message("Q=1").find("Q is no axis or scalar input of the algorithm"), std::string::npos);
    EXPECT_NE(message("S").find("S is not NAME=NUMBER"), std::string::npos);
    EXPECT_NE(message("S=many").find("S=many is not NAME=NUMBER"), std::string::npos);
    EXPECT_NE(message("S=0").find("a size is a whole number from 1"), std::string::npos);
    EXPECT_NE(message("S=1.5").find("a size is a whole number from 1"), std::string::npos);
}

TEST(Evaluate, DecidesWithoutTheUnknown) {
    using namespace Halide;
    Expr x = hand_made::axis("x"), unknown = hand_made::axis("unknown");
    const std::map<std::string, int64_t> known = {{"x", -7}};
    EXPECT_EQ(evaluate(x / 2, known), -4) << "Halide rounds down";
    EXPECT_EQ(evaluate(x % 4, known), 1);
    EXPECT_EQ(evaluate(unknown > 0, known), std::nullopt);
    EXPECT_EQ(evaluate(unknown > 0 && x > 0, known), 0);
    EXPECT_EQ(evaluate(x < 0 || unknown > 0, known), 1);
    EXPECT_EQ(evaluate(x < 0 && unknown > 0, known), std::nullopt);
    EXPECT_EQ(evaluate(select(x < 0, max(x, 3), unknown), known), 3);
}

/** Several groups of rows in a block: each walks its own tiles, and the block those of all. */
TEST(TileVisits, GroupsOfABlock) {
    Options o;
    o.mask = Mask::Causal;
    hand_made::Example x = attention(o);
    Shape shape = complete_shape({{{"i", 1024}, {"j", 1024}}, {}}, x.graph, x.plan.roles);
    const TileVisits v = count_visits(x.graph, x.plan, x.plan.passes[0].mask, shape, 192, 64, 128);
    EXPECT_EQ(v.blocks_of_rows, 6);
    EXPECT_DOUBLE_EQ(v.groups, 16.0 / 6);
    EXPECT_DOUBLE_EQ(v.mean, 4.5) << "1 1 2 2 ... 8 8";
    EXPECT_DOUBLE_EQ(v.of_block, (2 + 3 + 5 + 6 + 8 + 8) / 6.0);
    EXPECT_EQ(v.skew, 1);
    ASSERT_EQ(v.together.size(), 4u);
    double visits = 0;
    for (int k = 1; k <= 3; k++) {
        visits += k * v.together[k];
    }
    EXPECT_NEAR(visits, 16 * 4.5 / 6, 1e-9);
    EXPECT_DOUBLE_EQ(v.together[1] + v.together[2] + v.together[3], v.of_block);
}

/** Sampled counts equal those of walking every tile. */
TEST(TileVisits, MatchBruteForce) {
    for (Mask mask : {Mask::None, Mask::Causal, Mask::Window}) {
        for (int length : {1, 100, 500, 1024}) {
            Options o;
            o.mask = mask;
            hand_made::Example x = attention(o);
            Shape shape = complete_shape({{{"i", length}, {"j", length}}, {{"window", 60}}}, x.graph, x.plan.roles);
            const int rows = 64, columns = 32;
            TileVisits v = count_visits(x.graph, x.plan, x.plan.passes[0].mask, shape, rows, rows, columns);
            double live = 0, partial = 0, blocks = 0;
            for (int i0 = 0; i0 < length; i0 += rows, blocks++) {
                for (int j0 = 0; j0 < length; j0 += columns) {
                    int alive = 0, all = 0;
                    for (int i = i0; i < std::min(length, i0 + rows); i++) {
                        for (int j = j0; j < j0 + columns; j++, all++) {
                            alive +=
                                j < length && (mask == Mask::None || (j <= i && (mask == Mask::Causal || i - j <= 60)));
                        }
                    }
                    live += alive > 0;
                    partial += alive > 0 && alive < all;
                }
            }
            // Verdicts of corners are exact for these masks, but for the window's far corner.
            const double slack = mask == Mask::Window ? 0.5 : 0.02;
            EXPECT_NEAR(v.mean, live / blocks, slack * v.mean) << "mask " << (int)mask << ", length " << length;
            EXPECT_GE(v.partial * v.mean * blocks, partial * 0.9) << "mask " << (int)mask << ", length " << length;
        }
    }
}

}  // namespace
