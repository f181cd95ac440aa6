// Scores as sums of coefficient * atom.

#include "lower/cuda/LinearForm.h"

#include <gtest/gtest.h>

#include <sstream>

using namespace Halide;
using namespace Halide::Internal;
using strobe::cuda::integer_line;
using strobe::cuda::linear_form;
using strobe::cuda::LinearForm;

namespace {

const Expr s = Variable::make(Float(32), "s"), t = Variable::make(Float(32), "t"),
           scale = Variable::make(Float(32), "scale"), slope = Variable::make(Float(32), "slope");
const Expr i = Variable::make(Int(32), "i"), j = Variable::make(Int(32), "j");

bool differs(const Expr &e) {
    return expr_uses_var(e, "s") || expr_uses_var(e, "t") || expr_uses_var(e, "j");
}

LinearForm form_of(const Expr &e, const std::string &stream = "j") {
    return linear_form(e, differs, stream);
}

std::string text_of(const LinearForm &form) {
    std::ostringstream text;
    for (const strobe::cuda::Term &term : form.terms) {
        text << term.coefficient << " * " << term.atom << " + ";
    }
    text << form.constant;
    return text.str();
}

/** The sum again; equal to \p e for all the values tried. */
void expect_same(const Expr &e) {
    const LinearForm form = form_of(e);
    Expr sum = form.constant;
    for (const strobe::cuda::Term &term : form.terms) {
        EXPECT_FALSE(differs(term.coefficient)) << text_of(form);
        sum = sum + term.coefficient * term.atom;
    }
    EXPECT_FALSE(differs(form.constant)) << text_of(form);
    for (int n = 0; n < 8; n++) {
        const int column = 3 * n - 7, row = 11 - n;
        const std::map<std::string, Expr> values = {
            {"s", Expr(0.5f * n - 1)}, {"t", Expr(2.0f - n)},   {"scale", Expr(0.25f)},
            {"slope", Expr(-0.5f)},    {"i", Expr(row)},        {"j", Expr(column)},
            {"j.float", Expr(static_cast<float>(column))}};
        const Expr got = simplify(substitute(values, sum)), expected = simplify(substitute(values, e));
        ASSERT_TRUE(got.as<FloatImm>() && expected.as<FloatImm>()) << got << " and " << expected << " of " << e;
        EXPECT_FLOAT_EQ(got.as<FloatImm>()->value, expected.as<FloatImm>()->value)
            << e << " became " << text_of(form) << " with n = " << n;
    }
}

TEST(CudaLinearForm, KeepsTheSum) {
    expect_same(s);
    expect_same(scale);
    expect_same(s * scale);
    expect_same((s - 3.0f) * scale + t * 2.0f);
    expect_same(s / scale - slope);
    expect_same(s * scale + slope * cast<float>(j - i));
    expect_same(slope * cast<float>(2 * j - 3) - s);
    expect_same(s - (t - s));
}

TEST(CudaLinearForm, FindsTheScale) {
    const LinearForm form = form_of(s * scale);
    ASSERT_EQ(form.terms.size(), 1u) << text_of(form);
    EXPECT_TRUE(equal(form.terms[0].coefficient, scale)) << text_of(form);
    EXPECT_TRUE(equal(form.terms[0].atom, s)) << text_of(form);
    EXPECT_TRUE(is_const_zero(form.constant)) << text_of(form);
}

TEST(CudaLinearForm, ChoosesByWhatIsTheSameForARow) {
    const LinearForm form = form_of(select(i < 3, s * scale, t));
    ASSERT_EQ(form.terms.size(), 2u) << text_of(form);
    EXPECT_TRUE(equal(form.terms[0].coefficient, select(i < 3, scale, 0.0f))) << text_of(form);
    EXPECT_TRUE(equal(form.terms[1].coefficient, select(i < 3, 0.0f, 1.0f))) << text_of(form);
}

TEST(CudaLinearForm, MergesEqualAtoms) {
    const LinearForm form = form_of(s * 2.0f + s * 3.0f);
    ASSERT_EQ(form.terms.size(), 1u) << text_of(form);
    EXPECT_TRUE(is_const(form.terms[0].coefficient, 5)) << text_of(form);
}

TEST(CudaLinearForm, LeavesTheRestAlone) {
    for (const Expr &e : {s * t, tanh(s), select(s < t, s, t), 1.0f / s}) {
        const LinearForm form = form_of(e);
        ASSERT_EQ(form.terms.size(), 1u) << text_of(form);
        EXPECT_TRUE(equal(form.terms[0].atom, e)) << text_of(form);
        EXPECT_TRUE(is_const_one(form.terms[0].coefficient)) << text_of(form);
    }
}

TEST(CudaLinearForm, TakesTheColumnAsAFloatOnlyIfAsked) {
    const LinearForm with = form_of(cast<float>(j)), without = form_of(cast<float>(j), "");
    ASSERT_EQ(with.terms.size(), 1u);
    EXPECT_TRUE(equal(with.terms[0].atom, Variable::make(Float(32), "j.float"))) << text_of(with);
    ASSERT_EQ(without.terms.size(), 1u);
    EXPECT_TRUE(equal(without.terms[0].atom, cast<float>(j))) << text_of(without);
}

TEST(CudaIntegerLine, FindsSlopeAndOffset) {
    int64_t slope = 0;
    Expr offset;
    ASSERT_TRUE(integer_line((j - i) * 3 + 4, differs, "j", slope, offset));
    EXPECT_EQ(slope, 3);
    EXPECT_TRUE(can_prove(offset == 4 - i * 3)) << offset;
    ASSERT_TRUE(integer_line(i - j, differs, "j", slope, offset));
    EXPECT_EQ(slope, -1);
    ASSERT_TRUE(integer_line(i * i, differs, "j", slope, offset));
    EXPECT_EQ(slope, 0);
    EXPECT_FALSE(integer_line(j * i, differs, "j", slope, offset));
    EXPECT_FALSE(integer_line(j / 2, differs, "j", slope, offset));
    EXPECT_FALSE(integer_line(j + Variable::make(Int(32), "s"), differs, "j", slope, offset));
}

}  // namespace
