// Rule R8: what separates a second time, summed over random chunks of the stream first, equals the reductions as the
// user wrote them; and what does not separate is left alone.
#include "Programs.h"

using namespace strobe;
using namespace strobe::test;
using Halide::cast;
using Halide::exp;
using Halide::max;
using Halide::select;

namespace {

Expr feature(const Expr &x) {
    return select(x > 0.0f, x + 1.0f, exp(x));
}

/** A score of features: sum over c of f(q_c) g(k_c). */
Expr featured(Inputs &in, const ScoreOf &of_row, const ScoreOf &of_key) {
    RDom c(0, in.q.dim(0).extent());
    Func s("s");
    s(in.j, in.i, in.h, in.b) += of_row(in, in.q(c, in.i, in.h, in.b)) * of_key(in, in.k(c, in.j, in.h / 2, in.b));
    return s(in.j, in.i, in.h, in.b);
}

Expr linear(Inputs &in) {
    const ScoreOf same = [](Inputs &, Expr x) { return feature(x); };
    return featured(in, same, same);
}

/** weights * v / sum of weights, beside the latter. */
std::vector<Func> normalised(Inputs &in, const Expr &weights) {
    Func l = total(in, weights), out("out");
    out(in.d, in.i, in.h, in.b) = sum_with_values(in, weights)(in.d, in.i, in.h, in.b) / (at(in, l) + 0.25f);
    return {out, l};
}

struct Case {
    const char *name;
    std::function<std::vector<Func>(Inputs &)> algorithm;
    bool whole = true;
};

std::ostream &operator<<(std::ostream &s, const Case &c) {
    return s << c.name;
}

std::vector<Case> cases() {
    return {
        {"features_of_both", [](Inputs &in) { return normalised(in, linear(in)); }},
        {"plain_products", [](Inputs &in) { return std::vector<Func>{sum_with_values(in, product(in))}; }},
        {"other_features_of_keys",
         [](Inputs &in) {
             return normalised(in, featured(
                                       in, [](Inputs &, Expr x) { return max(x, 0.0f); },
                                       [](Inputs &i, Expr x) { return x * x * i.slopes(i.h); }));
         }},
        {"weights_of_rows_and_of_keys",
         [](Inputs &in) {
             return normalised(in, linear(in) * cast<float>(in.i + 1) * (in.lambda / cast<float>(in.j + 1)));
         }},
        {"lengths", [](Inputs &in) { return normalised(in, select(in.j < in.lengths(in.b), linear(in), 0.0f)); }},
        {"causal", [](Inputs &in) { return normalised(in, select(causal(in.i, in.j), linear(in), 0.0f)); }, false},
        {"strictly_causal", [](Inputs &in) { return normalised(in, select(in.j < in.i, linear(in), 0.0f)); }, false},
        {"prefix", [](Inputs &in) { return normalised(in, select(prefix(in.i, in.j, in.prefix), linear(in), 0.0f)); }, false},
        {"causal_and_lengths",
         [](Inputs &in) {
             return normalised(in, select(causal(in.i, in.j) && in.j < in.lengths(in.b), linear(in), 0.0f));
         },
         false},
        {"causal_sum_and_sum_of_all",
         [](Inputs &in) {
             Func l = total(in, linear(in)), out("out");
             out(in.d, in.i, in.h, in.b) =
                 sum_with_values(in, select(causal(in.i, in.j), linear(in), 0.0f))(in.d, in.i, in.h, in.b) / (at(in, l) + 0.25f);
             return std::vector<Func>{out};
         },
         false},
    };
}

/** Outputs from sums over random chunks, merged in random order, and a walk from a block's first row on. */
class EvaluateExchanged {
    const ReductionGraph &graph;
    const Plan &plan;
    EvaluateGraph direct;
    std::mt19937 random;
    const int block;

    double value(const Expr &e, const Point &point, double otherwise = 1) {
        return e.defined() ? direct.value(e, point) : otherwise;
    }
    std::pair<int, int> domain(const std::string &axis) {
        const int min = (int)value(graph.axis(axis).min, {});
        return {min, min + (int)value(graph.axis(axis).extent, {})};
    }

    /** Of one feature of the rows. */
    double sum_before(const SeparatedSum &s, Point point, int end) {
        std::vector<double> chunks(1 + random() % 5, 0.0);
        for (int j = domain(plan.roles.stream).first; j < end; j++) {
            point[plan.roles.stream] = j;
            if (value(s.guard, point) != 0) {
                chunks[random() % chunks.size()] += value(s.columns, point) * value(s.values, point);
            }
        }
        std::shuffle(chunks.begin(), chunks.end(), random);
        double sum = 0;
        for (double c : chunks) {
            sum += c;
        }
        return sum;
    }

    double moment(const Moment &m, Point point) {
        const SeparatedSum &s = plan.second->of(m.name);
        const auto [first, last] = domain(plan.roles.stream);
        const int row = (int)point.at(plan.roles.query);
        const int end = plan.second->whole ? last : std::min(last, std::max(first, row / block * block));
        double result = 0;
        const auto [least, most] = domain(s.axis);
        for (int c = least; c < most; c++) {
            Point at = point;
            at[s.axis] = c;
            result += value(s.rows, at) * sum_before(s, at, end);
        }
        result *= value(s.outside, point);
        for (int j = end; j < last; j++) {
            point[plan.roles.stream] = j;
            result += value(m.guard, point) != 0 ? value(m.factor, point) : 0;
        }
        return result;
    }

public:
    EvaluateExchanged(const ReductionGraph &graph, const Plan &plan, const Data &data, unsigned seed)
        : graph(graph), plan(plan), direct(graph, data), random(seed), block(1 + (int)(seed % 4)) {
    }
    double output(const Output &o, Point point) {
        for (const Moment &m : plan.passes[0].moments) {
            if (Halide::Internal::expr_uses_var(o.value, m.name)) {
                point[m.name] = moment(m, point);
            }
        }
        return direct.value(o.value, point);
    }
};

class SecondSeparation : public testing::TestWithParam<Case> {};

TEST_P(SecondSeparation, EqualsTheDirectReductions) {
    for (unsigned seed = 0; seed < 6; seed++) {
        Inputs in;
        in.sizes.queries = seed == 4 ? 15 : 5 + (int)seed;
        in.sizes.keys = seed == 5 ? 0 : 13;
        const ReductionGraph graph = read_algorithm(GetParam().algorithm(in));
        const Plan plan = derive_online(graph);
        ASSERT_TRUE(plan.second) << plan;
        EXPECT_EQ(plan.second->whole, GetParam().whole) << plan;
        EXPECT_EQ(plan.second->sums.size(), plan.passes[0].moments.size());
        const double size = seed == 3 ? 1e6 : 1;
        Data data = in.data(seed, size);
        add_outputs(data, graph, in.sizes);
        EvaluateGraph direct(graph, data);
        EvaluateExchanged exchanged(graph, plan, data, seed);
        for (size_t n = 0; n < graph.outputs.size(); n++) {
            direct.for_each_point(graph.outputs[n].axes, [&](const Point &point) {
                const double expected = direct.value(graph.outputs[n].value, point);
                const double got = exchanged.output(plan.outputs[n], point);
                ASSERT_NEAR(got, expected, 1e-9 * std::max(size * size, std::abs(expected))) << "seed " << seed << "\n" << plan;
            });
        }
    }
}

INSTANTIATE_TEST_SUITE_P(, SecondSeparation, testing::ValuesIn(cases()),
                         [](const auto &info) { return std::string(info.param.name); });

Plan plan_of(const std::function<std::vector<Func>(Inputs &)> &algorithm) {
    Inputs in;
    return derive_online(read_algorithm(algorithm(in)));
}

TEST(NoSecondSeparation, WhereSomethingStandsBetween) {
    EXPECT_FALSE(plan_of([](Inputs &in) { return normalised(in, max(linear(in), 0.0f)); }).second);
    EXPECT_FALSE(plan_of([](Inputs &in) { return normalised(in, linear(in) + in.bias(in.j, in.i, in.h, in.b)); }).second);
    EXPECT_FALSE(plan_of([](Inputs &in) { return normalised(in, linear(in) * linear(in)); }).second);
    EXPECT_FALSE(plan_of([](Inputs &in) { return from_blocks(in, [](Inputs &, Expr s) { return s; }); }).second);
    // A factor of a feature that is a row's and a key's at once.
    EXPECT_FALSE(plan_of([](Inputs &in) {
                     return normalised(in, featured(
                                               in, [](Inputs &i, Expr x) { return exp(x * cast<float>(i.j)); },
                                               [](Inputs &, Expr x) { return x; }));
                 }).second);
}

TEST(NoSecondSeparation, WhereRowsSeeOtherKeysBeforeThem) {
    for (const auto &mask : {std::function<Expr(Inputs &)>([](Inputs &in) { return sliding_window(in.i, in.j, in.window); }),
                             std::function<Expr(Inputs &)>([](Inputs &in) {
                                 return causal(in.i, in.j) && same_document(in.document, in.i, in.j, in.b);
                             })}) {
        const Plan plan = plan_of([&](Inputs &in) { return normalised(in, select(mask(in), linear(in), 0.0f)); });
        EXPECT_FALSE(plan.second);
        const bool said = std::any_of(plan.facts.begin(), plan.facts.end(),
                                      [](const Fact &f) { return f.rule == "not exchanged"; });
        EXPECT_TRUE(said) << plan;
    }
}

}  // namespace
