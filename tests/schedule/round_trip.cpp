// parse(print(s)) == s, for hand-written and random schedules.

#include "schedule/Directives.h"
#include "schedule/ParseSchedule.h"
#include "schedule/PrintSchedule.h"

#include <gtest/gtest.h>

#include <random>

using namespace strobe;

namespace {

const char *example = R"(# 192 queries a block, keys in tiles of 128, one pass.
tile(i, 192)  stream(j, 128)
online(row_max, row_sum, out)
k, v: stage(2, tma)
scores: mma(wgmma, bf16)      out: mma(wgmma, bf16, a=registers)
warps(consumers=3, producer=1, registers=160:32)  pingpong
skip(mask)  specialize(full, partial)
blocks(i   descending, h, b)  # the longest rows first
)";

Schedule example_in_cpp() {
    Schedule s;
    s.tile("i", 192).stream("j", 128).online({"row_max", "row_sum", "out"}).stage({"k", "v"}, 2);
    s.mma("scores", "wgmma", "bf16").mma("out", "wgmma", "bf16", "registers");
    s.warps(3, 1, 160, 32).pingpong().skip().specialize({"full", "partial"}).blocks({"i descending", "h", "b"});
    return s;
}

/** Random schedules over the known directives, with hostile names and values. */
class RandomSchedule {
    std::mt19937 random;

    int below(int n) {
        return (int)(random() % n);
    }

    std::string text() {
        static const std::string plain = "abcxyz019_$.";
        static const std::string hostile = " \t\n\"\\#(),:=+-*/%\x7f\xc3\xa9";
        std::string s;
        const bool wild = below(4) == 0;
        for (int n = below(8) + (wild ? 0 : 1); n > 0; n--) {
            s += wild && below(2) ? hostile[below((int)hostile.size())] : plain[below((int)plain.size())];
        }
        return s;
    }

    std::string value() {
        switch (below(5)) {
        case 0:
            return std::to_string(below(512));
        case 1:
            return std::to_string(below(255)) + ":" + std::to_string(below(255));
        case 2:
            return text() + " descending";
        default:
            return text();
        }
    }

public:
    explicit RandomSchedule(int seed) : random(seed) {
    }

    Schedule make() {
        Schedule s;
        for (int n = below(8); n > 0; n--) {
            const DirectiveSpec &spec = known_directives()[below((int)known_directives().size())];
            Directive d;
            d.name = spec.name;
            if (spec.subjects != DirectiveSpec::Subjects::None) {
                for (int k = below(3) + 1; k > 0; k--) {
                    d.subjects.push_back(text());
                }
            }
            int count =
                spec.variadic ? below(4) + 1 : spec.required + below((int)spec.parameters.size() - spec.required + 1);
            bool keywords = !spec.variadic && below(2);
            for (int k = 0; k < count; k++) {
                d.arguments.push_back({keywords ? spec.parameters[k] : "", value(), {}});
            }
            s.add(d);
        }
        return s;
    }
};

TEST(RoundTrip, Example) {
    Schedule parsed = parse_schedule(example);
    EXPECT_EQ(parsed, example_in_cpp()) << "got:\n" << parsed << "expected:\n" << example_in_cpp();
    EXPECT_EQ(parsed.hash(), example_in_cpp().hash());
    EXPECT_EQ(to_string(parsed), R"(tile(i, 192)
stream(j, 128)
online(row_max, row_sum, out)
k, v: stage(2, tma)
scores: mma(wgmma, bf16)
out: mma(wgmma, bf16, a=registers)
warps(consumers=3, producer=1, registers=160:32)
pingpong
skip(mask)
specialize(full, partial)
blocks(i descending, h, b)
)");
    EXPECT_EQ(parse_schedule(to_string(parsed)), parsed);
}

TEST(RoundTrip, DifferentSchedulesDiffer) {
    Schedule a = Schedule().tile("i", 128), b = Schedule().tile("i", 64);
    EXPECT_NE(a, b);
    EXPECT_NE(a.hash(), b.hash());
    EXPECT_NE(Schedule().pingpong(), Schedule().pingpong(false));
}

TEST(RoundTrip, LastDirectiveIsFound) {
    Schedule s = parse_schedule("tile(i, 64) stream(j, 32) tile(i, 128)");
    ASSERT_NE(s.find("tile"), nullptr);
    EXPECT_EQ(s.find("tile")->arguments[1].value, "128");
    EXPECT_EQ(s.find("pingpong"), nullptr);
}

TEST(RoundTrip, SpansPointAtTheSource) {
    Schedule s = parse_schedule("\n  tile(i, 64)\n\tk, v: stage(3)", "mine.strobe");
    EXPECT_EQ(position_of(s.directives[0].span), "mine.strobe:2:3: ");
    EXPECT_EQ(position_of(s.directives[0].arguments[1].span), "mine.strobe:2:11: ");
    EXPECT_EQ(s.directives[0].arguments[1].span.length, 2);
    EXPECT_EQ(position_of(s.directives[1].subject_spans[1]), "mine.strobe:3:5: ");
    EXPECT_EQ(position_of(s.directives[1].span), "mine.strobe:3:8: ");
}

TEST(RoundTrip, RandomSchedules) {
    for (int seed = 0; seed < 5000; seed++) {
        Schedule s = RandomSchedule(seed).make();
        std::string text = to_string(s);
        Schedule again;
        ASSERT_NO_THROW(again = parse_schedule(text)) << "seed " << seed << ", schedule:\n" << text;
        ASSERT_EQ(again, s) << "seed " << seed << ", printed:\n" << text << "parsed and printed:\n" << again;
        ASSERT_EQ(again.hash(), s.hash());
    }
}

}  // namespace
