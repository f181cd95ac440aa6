// Schedules that must be refused: the class of the error, and what it says.

#include "HandMadePlans.h"
#include "schedule/CheckSchedule.h"
#include "schedule/ParseSchedule.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe;
using hand_made::attention;
using hand_made::Mask;
using hand_made::Options;

namespace {

struct BadSchedule {
    const char *name;
    const char *text;
    std::vector<const char *> says;  // each must occur in the message
    const char *machine = "sm_90a";
    Options options = {};
};

Options wide(int head) {
    Options o;
    o.head = o.value = head;
    return o;
}

Options of_type(Halide::Type t) {
    Options o;
    o.element = t;
    return o;
}

Options two_passes() {
    Options o;
    o.threshold = true;
    return o;
}

std::vector<BadSchedule> bad_schedules() {
    return {
        // Text.
        {"MisspeltDirective",
         "tile(i, 192)\n  pingpon",
         {"mine.strobe:2:3: error: unknown directive pingpon (did you mean pingpong?)", "    pingpon\n      ^~~~~~~"}},
        {"ForeignDirective", "compute_root(i)", {"unknown directive compute_root", "known: tile, stream"}},
        {"MisspeltKeyword",
         "warps(consumer=2)",
         {"mine.strobe:1:7", "warps has no argument called consumer (did you mean consumers?)",
          "legal here: warps(consumers=n"}},
        {"TooManyArguments", "tile(i, 64, 2)", {"tile takes at most 2 arguments"}},
        {"MissingArgument", "stream(j)", {"stream needs its argument size", "stream(axis, size)"}},
        {"EmptyList", "online()", {"online needs at least one argument"}},
        {"ArgumentTwice", "mma: mma(wgmma, type=bf16, type=fp16)", {"its argument type is given twice"}},
        {"SubjectOfTile", "k: tile(i, 64)", {"tile applies to the whole algorithm, not to k"}},
        {"NoSubjectOfStage", "stage(2, tma)", {"stage must say which inputs it applies to"}},
        {"NoSubjectOfMma", "mma(wgmma, bf16)", {"mma must say which Funcs it applies to"}},
        {"OpenParenthesis", "tile(i, 64", {"mine.strobe:1:5: error: this parenthesis is never closed"}},
        {"OpenQuote", "tile(\"i, 64)", {"this quote is never closed"}},
        {"StrayCharacter", "tile(i, 64);", {"mine.strobe:1:12: error: expected a directive, found ';'"}},
        {"StrayInArguments", "tile(i; 64)", {"expected ',' or ')', found ';'"}},
        {"NoColon", "k, v stage(2)", {"expected ':' behind the list of names, found 's'"}},
        {"ColonAtEnd", "k, v:", {"expected a directive behind ':', found the end of the schedule"}},
        {"EmptyArgument", "tile(i, )", {"expected an argument, found ')'"}},
        // Names.
        {"UnknownAxis", "tile(x, 64)", {"in schedule for out: can't tile(x, 64)", "there is no axis x"}},
        {"TileOfStream", "tile(j, 64)", {"j is reduced, and walked tile by tile", "legal here: tile(i, size)"}},
        {"TileOfGrid", "tile(h, 64)", {"h is an axis of the grid"}},
        {"TileOfInner", "tile(c, 64)", {"c lies whole in one tile"}},
        {"StreamOfQuery", "stream(i, 64)", {"i indexes the rows of the result", "legal here: stream(j, size)"}},
        {"UnknownReduction",
         "online(row_maxx, out)",
         {"mine.strobe:1:8", "there is no reduction row_maxx (did you mean row_max?)"}},
        {"OnlineScores", "online(scores)", {"scores is computed inside a tile: it does not reduce j"}},
        {"UnknownInput", "kk: stage(2)", {"there is no input kk (did you mean k?)"}},
        {"StageOfQuery", "q: stage(2)", {"q is no operand that is walked along j", "legal here: k, v: stage(count)"}},
        {"MmaOfUnknown", "score: mma(wgmma)", {"there is no Func score (did you mean scores?)"}},
        {"MmaOfRowSum", "row_sum: mma(wgmma)", {"row_sum is no sum of products", "legal here: scores or acc"}},
        // Sizes.
        {"TileOf100",
         "tile(i, 100)",
         {"mine.strobe:1:9", "wgmma computes 64 rows a warpgroup, and 100 is not a multiple of that",
          "tile(i, 64) or tile(i, 128)"}},
        {"TileOfZero", "tile(i, 0)", {"0 is too small"}},
        {"TileOfWord", "tile(i, big)", {"big is not a whole number"}},
        {"TileTooTall",
         "tile(i, 576)",
         {"9 warpgroups of 64 rows and the producer are more than the 1024 threads of a block", "at most 448"}},
        {"SplitOfQuery", "kernel(general) split(i, 4)", {"i indexes the rows of the result", "legal here: split(j, parts)"}},
        {"ExchangeOfSoftmax", "kernel(general) exchange",
         {"in schedule for out: can't exchange", "no score that enters every sum over j as a factor", "legal here: no exchange"}},
        {"ExchangeNeither", "exchange(maybe)", {"maybe is not one of its values", "on or off"}},
        {"ShareOfRows", "kernel(general) share(i, 4)", {"i indexes the rows of the result", "share(h, points)"}},
        {"ShareOfNone", "kernel(general) share(h, 0)", {"a number of points from 1 to 64"}},
        {"ShareWithRoles", "share(h, 4)",
         {"other kernels have one point of the grid a block", "legal here: kernel(general) share(h, 4)"}},
        {"SplitIntoNone", "kernel(general) split(j, 0)", {"a number of parts from 1 to 1024"}},
        {"SplitWithWarpRoles",
         "split(j, 4)",
         {"warps with roles walk all that their rows see", "legal here: kernel(general) split(j, 4)"}},
        {"SplitOfTwoWalks",
         "kernel(general) split(j, 4)",
         {"can't split(j, 4)", "j is walked 2 times, and a later walk needs what an earlier one found in all parts"},
         "sm_90a",
         two_passes()},
        {"StreamOf100", "stream(j, 100)", {"100 is not a multiple of 16", "a multiple of 16 up to 256"}},
        {"StreamOf512", "stream(j, 512)", {"512 is more"}},
        {"StreamAgainstRegisters",
         "tile(i, 192) stream(j, 192)",
         {"a consumer thread needs about 212 registers (scores 96 + accumulators 32 + weights 48", "has 160",
          "a stream tile of at most 128"}},
        {"StagesAgainstShared",
         "k, v: stage(8) tile(i, 128) stream(j, 128)",
         {"at most 2 stages, or a stream tile of at most 32",
          "tiles take 578 KiB of shared memory (q 32 KiB + 8 x k 256 KiB + 8 x v 256 KiB + out 32 KiB + barriers 2 "
          "KiB)",
          "sm_90a has 227 KiB a block"},
         "sm_90a",
         wide(128)},
        {"NineStages", "k, v: stage(9)", {"9 is too large", "1 to 8 stages"}},
        {"HeadTooWide", "tile(i, 128)", {"tiles take 642 KiB of shared memory (q 256 KiB"}, "sm_90a", wide(1024)},
        {"AccumulatorsTooWide", "tile(i, 64)", {"accumulators 256", "and has 240"}, "sm_90a", wide(512)},
        {"StagesDiffer", "k: stage(2) v: stage(3)", {"the other inputs have 2 stages"}},
        // Warps and registers.
        {"ConsumersAgainstTile",
         "tile(i, 192) warps(consumers=2)",
         {"2 consumer warpgroups of 64 rows are 128, and the tile has 192", "consumers=3, or tile(i, 128)"}},
        {"RegistersTotal",
         "warps(consumers=3, registers=168:24)",
         {"128 x (3 x 168 + 1 x 24) = 67584 registers", "registers=160:32"}},
        {"RegistersStep",
         "warps(consumers=2, registers=236:24)",
         {"setmaxnreg takes a multiple of 8 from 24 to 240, not 236"}},
        {"RegistersRange", "warps(consumers=1, registers=256:24)", {"not 256"}},
        {"RegistersPair", "warps(consumers=2, registers=240)", {"not nothing", "registers=consumer:producer"}},
        {"NoProducer", "warps(consumers=2, producer=0)", {"tma copies are issued by a producer warpgroup"}},
        {"ChainsOfOne",
         "tile(i, 64) warps(consumers=2, chains=2)",
         {"a step of this algorithm consists of 1 chain", "leave chains out"}},
        {"PingpongAlone", "tile(i, 64) pingpong", {"there is one consumer warpgroup, and turns take two"}},
        {"PingpongMaybe", "pingpong(maybe)", {"maybe is not one of its values", "on or off"}},
        // Instructions and types.
        {"UnknownInstruction",
         "scores: mma(wgma, bf16)",
         {"sm_90a has no matrix instruction wgma (did you mean wgmma?)"}},
        {"RoundedInputs",
         "scores: mma(wgmma, bf16)",
         {"its operand q is fp32 in memory"},
         "sm_90a",
         of_type(Halide::Float(32))},
        {"FloatOnWgmma",
         "scores: mma(wgmma)",
         {"wgmma multiplies bf16 or fp16; q is fp32"},
         "sm_90a",
         of_type(Halide::Float(32))},
        {"OtherHalf", "scores: mma(wgmma, fp16)", {"its operand q is bf16 in memory", "mma(wgmma, bf16)"}},
        {"UnknownType", "scores: mma(wgmma, bf61)", {"bf61 is not one of its values (did you mean bf16?)"}},
        {"OddHead",
         "scores: mma(wgmma)",
         {"scores contracts 20 elements; wgmma takes multiples of 16"},
         "sm_90a",
         wide(20)},
        {"ScoresFromRegisters",
         "scores: mma(mma, bf16, a=registers)",
         {"its first operand is an input", "a=shared"},
         "sm_80"},
        {"WeightsFromShared", "out: mma(wgmma, bf16, a=shared)", {"its first operand is computed", "a=registers"}},
        {"TmaOnAmpere", "k, v: stage(2, tma)", {"sm_80 has no tensor-map copies (tma)"}, "sm_80"},
        {"WgmmaOnAmpere", "scores: mma(wgmma)", {"sm_80 has no matrix instruction wgmma (did you mean mma?)"}, "sm_80"},
        {"RolesOnAmpere", "kernel(warp_specialized)", {"sm_80 has no tensor-map copies (tma)", "kernel(general)"}, "sm_80"},
        {"UnknownKernel", "kernel(generl)", {"generl is not one of its values (did you mean general?)"}},
        {"WarpsOfGeneralKernel",
         "kernel(general)\nwarps(consumers=2)",
         {"can't warps(consumers=2)", "the general kernel has no warps with roles of their own"}},
        {"CopyOnHopper", "k, v: stage(2, copy)", {"the matrix unit reads its operands as tma lays them out"}},
        // What the plan does not allow.
        {"OnlineBarrier",
         "tile(i, 128)\nonline(threshold, out)",
         {"mine.strobe:2:8: error: in schedule for out: can't online(threshold)\n    online(threshold, out)\n          "
          " ^~~~~~~~~\n  its reader's body max(s - t, 0) cannot be rescaled when t changes",
          "recompute(threshold) [+1 pass over j], or leave it out and let the scheduler choose"},
         "sm_90a",
         two_passes()},
        {"RecomputeOnline",
         "recompute(row_max)",
         {"row_max is computed in the same walk as what needs it", "online(row_max), or leave it out"}},
        {"RecomputeOutput", "recompute(out)", {"out is an output: nothing is computed after it"}},
        {"SkipWhat", "skip(maks)", {"maks is not one of its values (did you mean mask?)"}},
        {"SpecializeOffAndFull", "specialize(off, full)", {"off stands alone"}},
        {"RescaleTooRarely", "rescale_when(64)", {"64 is too large", "0 (always) to 32"}},
        {"RescaleHalf", "rescale_when(16)", {"fp16 holds no more than 2^16"}, "sm_90a", of_type(Halide::Float(16))},
        // Blocks.
        {"BlocksOfStream", "blocks(i, j)", {"j is reduced, and walked tile by tile, not an axis of the grid"}},
        {"BlocksDirection", "blocks(i descendin, h, b)", {"descendin is no direction (did you mean descending?)"}},
        {"BlocksTwice", "blocks(i, h, h)", {"h is named twice"}},
        {"BlocksOrder", "blocks(h, i, b)", {"only if they are blocks of i of the same h and b", "blocks(i, h, b)"}},
        {"BlocksMissing", "blocks(i, h)", {"b is an axis of the grid, too, and is not named", "blocks(i, h, b)"}},
        {"BlocksHeadDescending", "blocks(i, h descending, b)", {"the order along h changes nothing"}},
        // Twice, and on the wrong machine.
        {"TileTwice", "tile(i, 64)\ntile(i, 128)", {"mine.strobe:2:1", "tile was given before"}},
        {"WarpsOnCpu", "warps(consumers=2)", {"a CPU has no warps", "leave it out on x86-avx2"}, "x86-avx2"},
        {"StageOnCpu", "k, v: stage(2)", {"a CPU's caches hold the tiles"}, "x86-avx2"},
        {"MmaOnCpu", "scores: mma(wgmma)", {"x86-avx2 has no matrix unit"}, "x86-avx2"},
        {"PersistentOnCpu", "persistent", {"a CPU's thread pool hands out blocks by itself"}, "x86-avx2"},
        {"PingpongOnCpu", "pingpong", {"a CPU has no warpgroups"}, "x86-avx2"},
        {"VectorizeOnGpu", "vectorize(i, 8)", {"a GPU's threads take one element each"}},
        {"ParallelOnGpu", "parallel(i)", {"a GPU's blocks always run side by side"}},
        {"LanesOfTwelve", "vectorize(i, 12)", {"12 is not a power of two", "vectorize(i, 8)"}, "x86-avx2"},
        {"OneLane", "vectorize(i, 1)", {"a power of two from 4 to 64"}, "x86-avx2"},
        {"LanesOfStream", "vectorize(j, 8)", {"vectorize(i, lanes)"}, "x86-avx2"},
        {"ParallelPartly", "parallel(i)", {"one list over all axes of the grid", "parallel(i, h, b)"}, "x86-avx2"},
    };
}

class BadSchedules : public ::testing::TestWithParam<BadSchedule> {};

TEST_P(BadSchedules, IsRefused) {
    const BadSchedule &bad = GetParam();
    hand_made::Example x = attention(bad.options);
    std::string message;
    try {
        check_schedule(parse_schedule(bad.text, "mine.strobe"), x.graph, x.plan, capability_of(bad.machine));
    } catch (const UserError &e) {
        message = e.what();
    } catch (const std::exception &e) {
        FAIL() << "schedule:\n" << bad.text << "\ngot another class of error: " << e.what();
    }
    ASSERT_FALSE(message.empty()) << "schedule:\n" << bad.text << "\nwas accepted";
    for (const char *part : bad.says) {
        EXPECT_NE(message.find(part), std::string::npos) << "schedule:\n"
                                                         << bad.text << "\ngot:\n"
                                                         << message << "\nexpected in it:\n"
                                                         << part;
    }
}

INSTANTIATE_TEST_SUITE_P(, BadSchedules, ::testing::ValuesIn(bad_schedules()),
                         [](const auto &info) { return std::string(info.param.name); });

/** Without a file, an error shows the directive instead of a place. */
TEST(BadSchedule, FromChain) {
    hand_made::Example x = attention();
    try {
        check_schedule(Schedule().tile("i", 100), x.graph, x.plan, capability_of("sm_90a"));
        FAIL() << "accepted";
    } catch (const UserError &e) {
        EXPECT_EQ(std::string(e.what()), "error: in schedule for out: can't tile(i, 100)\n"
                                         "  wgmma computes 64 rows a warpgroup, and 100 is not a multiple of that\n"
                                         "  legal here: tile(i, 64) or tile(i, 128)");
    }
}

TEST(BadSchedule, AmbiguousName) {
    hand_made::Example x = attention();
    x.graph.reductions[1].name = "row$1";
    x.graph.reductions[2].name = "row$2";
    try {
        check_schedule(Schedule().online({"row"}), x.graph, x.plan, capability_of("sm_90a"));
        FAIL() << "accepted";
    } catch (const UserError &e) {
        EXPECT_NE(std::string(e.what()).find("several are called row: row$1 and row$2"), std::string::npos) << e.what();
    }
}

TEST(BadSchedule, MissingFile) {
    EXPECT_THROW(load_schedule("/nonexistent/x.strobe"), RuntimeFailure);
}

/** No text may do worse than a UserError. */
TEST(BadSchedule, MutatedTextNeverCrashes) {
    const std::string good = "tile(i, 192) stream(j, 128) online(row_max, out) k, v: stage(2, tma) "
                             "scores: mma(wgmma, bf16) warps(consumers=3, producer=1, registers=160:32) pingpong";
    hand_made::Example x = attention();
    const Capability machine = capability_of("sm_90a");
    srand(1);
    int refused = 0;
    for (int n = 0; n < 3000; n++) {
        std::string text = good;
        for (int k = rand() % 3 + 1; k > 0; k--) {
            const size_t at = rand() % text.size();
            switch (rand() % 3) {
            case 0:
                text.erase(at, rand() % 9 + 1);
                break;
            case 1:
                text.insert(at, std::string(1, "(),:=\"#09 ij\\"[rand() % 13]));
                break;
            default:
                text[at] = (char)(rand() % 256);
            }
            text += text.empty() ? "x" : "";
        }
        try {
            check_schedule(parse_schedule(text), x.graph, x.plan, machine);
        } catch (const UserError &) {
            refused++;
        } catch (const std::exception &e) {
            FAIL() << "text:\n" << text << "\ngot: " << e.what();
        }
    }
    EXPECT_GT(refused, 2000);
}

}  // namespace
