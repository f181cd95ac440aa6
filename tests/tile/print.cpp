#include "Golden.h"
#include "HandMade.h"

#include "tile/PrintExpr.h"
#include "tile/PrintTiles.h"

#include <algorithm>

using namespace strobe;
using namespace strobe::test;

namespace {

const Sizes sizes{1000, 1000, 4, 2, 2, 64, 64};

std::string printed(const TileProgram &program) {
    std::ostringstream text;
    text << program;
    return text.str();
}

TEST(Print, Causal) {
    HandMade a(Halide::BFloat(16), sizes, 128, 64);
    a.choices.query_descending = true;
    a.softmax(a.scores() * a.scale, a.causal());
    const std::string text = printed(a.build());
    expect_golden("tiles_causal.txt", text);
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 40) << "more than a page:\n" << text;
}

TEST(Print, DataDependentMask) {
    HandMade a(Halide::Float(32), sizes, 64, 32);
    const ImageParam document(Halide::Int(32), 2, "document");
    a.choices.mma = {{"scores", "bf16"}, {"out", "bf16"}};
    a.softmax(30.0f * Halide::tanh(a.scores() / 30.0f), a.same_document(document));
    expect_golden("tiles_document.txt", printed(a.build()));
}

TEST(Print, Exprs) {
    const Expr x = axis_variable("x"), y = axis_variable("y");
    const Expr f = value_variable("f"), g = value_variable("g");
    const std::pair<Expr, const char *> cases[] = {
        {(x + y) * (x - y), "(x + y) * (x - y)"},
        {x - (y - x), "x - (y - x)"},
        {x - y - x, "x - y - x"},
        {f / (g * f), "f / (g * f)"},
        {f * g / f, "f * g / f"},
        {-f, "-f"},
        {Halide::exp(f - g) * 0.5f, "exp(f - g) * 0.5"},
        {Halide::select(x < y && y <= 3, f, -INFINITY), "select(x < y && y <= 3, f, -inf)"},
        {(x < y || x > 2) && y == 1, "(x < y || x > 2) && y == 1"},
        {!(x < y), "!(x < y)"},
        {Halide::max(f, Halide::cast<float>(x)), "max(f, float32(x))"},
        {Halide::cast(Halide::BFloat(16), f) == Halide::cast(Halide::BFloat(16), g), "bfloat16(f) == bfloat16(g)"},
        {f * 0.1f, "f * 0.1"},
        {f * -1e30f, "f * -1e+30"},
        {Halide::Internal::const_true(), "true"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(expr_text(c.first), c.second) << "input: " << c.first;
    }
}

}  // namespace
