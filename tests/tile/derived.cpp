// From Funcs to numbers: read, derive, build tiles, verify, interpret; against a direct evaluation in double.
#include "Golden.h"
#include "HandMade.h"

#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "strobe/attention.h"
#include "tile/PrintTiles.h"
#include "tile/VerifyTiles.h"

#include <gtest/gtest.h>
#include <regex>

using namespace strobe;
using namespace strobe::test;
using Halide::Func;
using Halide::Param;
using Halide::Var;

namespace {

/** What a variant's score may use. */
struct Inputs {
    ImageParam q, k, v, slopes{Halide::Float(32), 1, "slopes"}, document{Halide::Int(32), 2, "document"};
    Param<float> scale{"scale"}, cap{"cap", 30.0f, 1e-3f, 40.0f};
    Param<int> window{"window"}, prefix{"prefix"};
    Var i{"i"}, j{"j"}, h{"h"}, b{"b"}, d{"d"};

    Inputs(Type t, const Sizes &s) : q(t, 4, "q"), k(t, 4, "k"), v(t, 4, "v") {
        scale.set_range(1e-6f, 1e6f);
        q.dim(0).set_bounds(0, s.features);
        k.dim(0).set_bounds(0, s.features);
        v.dim(0).set_bounds(0, s.values);
    }
};

const int window = 9, prefix = 7, document_length = 6;
const float scale = 0.7f, cap = 3.0f;

struct Variant {
    const char *name;
    std::function<Expr(Inputs &, Expr s)> algorithm;
    Score score;
    Live live;
};

std::ostream &operator<<(std::ostream &stream, const Variant &v) {
    return stream << v.name;
}

double scaled(double s, int, int, int, int) {
    return s * scale;
}
bool everywhere(int, int, int) {
    return true;
}
double slope(int h) {
    return 0.25f / (h + 1);
}

const Variant variants[] = {
    {"full", [](Inputs &, Expr s) { return s; }, scaled, everywhere},
    {"causal", [](Inputs &n, Expr s) { return where(causal(n.i, n.j), s); }, scaled,
     [](int i, int j, int) { return j <= i; }},
    {"alibi", [](Inputs &n, Expr s) { return s + alibi(n.i, n.j, n.slopes(n.h)); },
     [](double s, int i, int j, int h, int) { return s * scale + slope(h) * (j - i); }, everywhere},
    {"softcap", [](Inputs &n, Expr s) { return softcap(s, n.cap); },
     [](double s, int, int, int, int) { return cap * std::tanh(s * scale / cap); }, everywhere},
    {"sliding_window", [](Inputs &n, Expr s) { return where(sliding_window(n.i, n.j, n.window), s); }, scaled,
     [](int i, int j, int) { return j <= i && i - j <= window; }},
    {"prefix_lm", [](Inputs &n, Expr s) { return where(strobe::prefix(n.i, n.j, n.prefix), s); }, scaled,
     [](int i, int j, int) { return j <= i || j < prefix; }},
    {"document_mask", [](Inputs &n, Expr s) { return where(same_document(n.document, n.i, n.j, n.b), s); }, scaled,
     [](int i, int j, int b) { return i / (document_length + b) == j / (document_length + b); }},
};

/** A variant as a tile program. */
struct Derived {
    TileProgram program;
    std::string text;  // of the graph and the plan, for failures

    Derived(const Variant &variant, Type t, const Sizes &s, Choices choices) {
        Inputs n(t, s);
        const Expr score = scores(Tensor(n.q), Tensor(n.k))(n.j, n.i, n.h, n.b) * n.scale;
        const Softmax p = softmax(variant.algorithm(n, score), n.k.dim(1).extent());
        Func out("out"), lse("lse");
        out(n.d, n.i, n.h, n.b) =
            Halide::cast(t, weighted_sum(p.weights, Tensor(n.v), Tensor(n.q))(n.d, n.i, n.h, n.b));
        lse(n.i, n.h, n.b) = p.lse(n.i, n.h, n.b);
        out.output_buffer().dim(0).set_bounds(0, s.values);
        if (choices.mma.count("out")) {
            choices.mma[out.name()] = choices.mma["out"];  // Halide numbers Funcs of one name
        }
        const ReductionGraph graph = read_algorithm({out, lse});
        const Plan plan = derive_online(graph);
        std::ostringstream description;
        description << graph << plan;
        text = description.str();
        program = build_tiles(variant.name, graph, plan, choices);
        verify_tiles(program);
    }
};

TileArguments arguments_of(const Derived &derived, Type t, const Sizes &s, bool exact, unsigned seed) {
    TileArguments a = random_arguments(t, s, exact, seed);
    a.buffers[derived.program.outputs[0].name] = a.buffers["out"];
    a.buffers[derived.program.outputs[1].name] = a.buffers["lse"];
    Halide::Buffer<int32_t> document(std::max(s.queries, s.keys), s.batches);
    document.for_each_element([&](int x, int b) { document(x, b) = x / (document_length + b); });
    Halide::Buffer<float> slopes(s.heads);
    slopes.for_each_element([&](int h) { slopes(h) = (float)slope(h); });
    a.buffers["document"] = document;
    a.buffers["slopes"] = slopes;
    a.scalars = {{"scale", scale}, {"cap", cap}, {"window", window}, {"prefix", prefix}};
    return a;
}

const Sizes sizes[] = {
    {1, 1, 1, 1, 1, 4, 3},   {8, 8, 1, 1, 1, 4, 3},   {9, 7, 2, 1, 2, 4, 3},
    {16, 24, 2, 2, 1, 4, 3}, {23, 41, 1, 2, 1, 5, 7}, {41, 23, 4, 1, 4, 3, 1},
    {50, 50, 1, 1, 1, 4, 3}, {5, 0, 1, 1, 1, 4, 3},   {0, 5, 1, 1, 1, 4, 3},
};

Choices tiles(int query, int stream) {
    Choices c;
    c.query_tile = query;
    c.stream_tile = stream;
    return c;
}

class DerivedVariants : public testing::TestWithParam<Variant> {};

TEST_P(DerivedVariants, AreExact) {
    for (const Sizes &s : sizes) {
        for (const Choices &c : {tiles(8, 8), tiles(16, 8), tiles(8, 32)}) {
            const Derived derived(GetParam(), Halide::Float(32), s, c);
            const TileArguments a = arguments_of(derived, Halide::Float(32), s, true, 11);
            interpret_tiles(derived.program, a, {Arithmetic::Exact, false});
            const Errors errors = compare_with_direct(a, s, GetParam().score, GetParam().live);
            ASSERT_LE(errors.out, 1e-12) << "Sq=" << s.queries << " Sk=" << s.keys << " " << errors.first << "\n"
                                         << derived.text << derived.program;
            ASSERT_LE(errors.lse, 1e-11) << "Sq=" << s.queries << " Sk=" << s.keys << " " << errors.first << "\n"
                                         << derived.text << derived.program;
        }
    }
}

TEST_P(DerivedVariants, VerdictsChangeNothing) {
    for (const Sizes &s : sizes) {
        const Derived derived(GetParam(), Halide::Float(32), s, tiles(8, 8));
        const TileArguments a = arguments_of(derived, Halide::Float(32), s, true, 12);
        const TileArguments b = arguments_of(derived, Halide::Float(32), s, true, 12);
        interpret_tiles(derived.program, a, {Arithmetic::Exact, false});
        interpret_tiles(derived.program, b, {Arithmetic::Exact, true});
        for (const char *name : {"out", "lse"}) {
            const Halide::Buffer<> &x = a.buffers.at(name), &y = b.buffers.at(name);
            ASSERT_EQ(std::memcmp(x.data(), y.data(), x.size_in_bytes()), 0)
                << name << " Sq=" << s.queries << " Sk=" << s.keys << "\n"
                << derived.text << derived.program;
        }
    }
}

TEST_P(DerivedVariants, TileMapIsTight) {
    const Sizes s{56, 56, 1, 1, 1, 4, 3};
    const int tile = 8;
    const Derived derived(GetParam(), Halide::Float(32), s, tiles(tile, tile));
    const TileMap map = tile_map(derived.program, 0, arguments_of(derived, Halide::Float(32), s, false, 13));
    for (int y = 0; y < 7; y++) {
        for (int x = 0; x < 7; x++) {
            int live = 0;
            for (int i = 0; i < tile; i++) {
                for (int j = 0; j < tile; j++) {
                    live += GetParam().live(y * tile + i, x * tile + j, 0);
                }
            }
            const TileVerdict expected = live == 0             ? TileVerdict::Dead
                                         : live == tile * tile ? TileVerdict::Full
                                                               : TileVerdict::Partial;
            EXPECT_EQ(map.rows[y][x], expected) << "tile (" << y << ", " << x << ") has " << live << " live elements\n"
                                                << derived.program;
        }
    }
}

TEST_P(DerivedVariants, RoundAsDeclared) {
    const Sizes s{33, 65, 2, 1, 1, 16, 16};
    for (Type t : {Halide::BFloat(16), Halide::Float(16), Halide::Float(32)}) {
        const Derived derived(GetParam(), t, s, tiles(16, 16));
        const TileArguments a = arguments_of(derived, t, s, false, 14);
        interpret_tiles(derived.program, a);
        const Errors errors = compare_with_direct(a, s, GetParam().score, GetParam().live);
        const double unit = t.is_bfloat() ? 1.0 / 256 : t.bits() == 16 ? 1.0 / 2048 : 1.0 / (1 << 22);
        EXPECT_LE(errors.out, 2 * unit) << errors.first;
        EXPECT_LE(errors.lse, 1e-5) << errors.first;
    }
}

/** Under a constant pivot of 30 all weights are near exp(-30), which is 0 in float16. */
TEST(DerivedTiles, CapFarAboveTheScores) {
    const Sizes s{16, 24, 1, 1, 1, 16, 16};
    const double far = 30;
    for (Type t : {Halide::Float(16), Halide::BFloat(16), Halide::Float(32)}) {
        for (const char *operand : {"own", "fp16", "bf16"}) {
            Choices c = tiles(8, 8);
            c.mma["out"] = operand;
            const Derived derived(variants[3], t, s, c);
            TileArguments a = arguments_of(derived, t, s, false, 15);
            a.scalars["cap"] = far;
            interpret_tiles(derived.program, a);
            const Errors errors = compare_with_direct(
                a, s, [&](double x, int, int, int, int) { return far * std::tanh(x * scale / far); }, everywhere);
            EXPECT_LE(errors.out, 1.0 / 128) << t << " values, " << operand << " operands: " << errors.first << "\n"
                                             << derived.program;
        }
    }
}

TEST_P(DerivedVariants, PrintOnAPage) {
    Choices c = tiles(128, 64);
    c.query_descending = true;
    const Derived derived(GetParam(), Halide::BFloat(16), {1000, 1000, 4, 2, 2, 64, 64}, c);
    std::ostringstream stream;
    stream << derived.program;
    // Halide numbers Funcs of one name within a process; the numbers, and the room that
    // they take in an output's line, depend on which tests ran before.
    std::string text = std::regex_replace(stream.str(), std::regex("\\$[0-9]+"), "");
    text = std::regex_replace(text, std::regex("(store [^\\]]*\\]) +="), "$1 =");
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 40) << "more than a page:\n" << text;
    expect_golden(std::string("tiles_derived_") + GetParam().name + ".txt", text);
}

INSTANTIATE_TEST_SUITE_P(Tiles, DerivedVariants, testing::ValuesIn(variants),
                         [](const testing::TestParamInfo<Variant> &info) { return info.param.name; });

}  // namespace
