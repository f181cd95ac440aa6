// Plans where the direct form overflows, where scores are -inf, and where whole segments are empty.
#include "Algorithms.h"
#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"

#include <gtest/gtest.h>

using namespace strobe;
using namespace strobe::test;
using Halide::exp;
using Halide::log;
using Halide::select;

namespace {

/** The plan of \p tested, merged from random segments, equals the direct evaluation of \p safe. */
void expect_equal(const Inputs &in, const std::vector<Func> &tested, const std::vector<Func> &safe,
                  const std::function<void(Data &)> &change, double tolerance = 1e-9) {
    const ReductionGraph graph = read_algorithm(tested), reference = read_algorithm(safe);
    const Plan plan = derive_online(graph);
    for (unsigned seed = 0; seed < 5; seed++) {
        Data data = in.data(seed);
        change(data);
        add_outputs(data, graph, in.sizes);
        add_outputs(data, reference, in.sizes);
        std::mt19937 random(seed);
        EvaluateGraph direct(reference, data);
        EvaluatePlan online(graph, plan, data, random);
        for (size_t n = 0; n < graph.outputs.size(); n++) {
            const Output &expected_output = reference.outputs[n];
            direct.for_each_point(expected_output.axes, [&](const Point &point) {
                Point at;  // the plan's axes may be called otherwise
                for (size_t a = 0; a < expected_output.axes.size(); a++) {
                    at[graph.outputs[n].axes[a]] = point.at(expected_output.axes[a]);
                }
                const double expected = direct.value(expected_output.value, point);
                const double got = online.value(plan.outputs[n], at);
                const bool right = std::isfinite(expected)
                                       ? std::abs(got - expected) <= tolerance * std::max(1.0, std::abs(expected))
                                       : got == expected || (std::isnan(got) && std::isnan(expected));
                ASSERT_TRUE(right) << "seed " << seed << ", " << graph.outputs[n].name << " at i=" << point.at("i")
                                   << ": got " << got << ", expected " << expected << "\n"
                                   << plan;
            });
        }
    }
}

void times_size(Data &data, const std::string &name, double size) {
    const auto old = data.inputs.at(name);
    data.inputs[name] = [old, size](const std::vector<int> &at) { return size * old(at); };
}

/** Scores of thousands: their exponentials overflow a double. */
void make_large(Data &data) {
    times_size(data, "q", 50);
    times_size(data, "k", 50);
}

ScoreOf causal_score() {
    return [](Inputs &in, Expr s) { return where(causal(in.i, in.j), s); };
}

Func total(Inputs &in, const Expr &body, ReduceOp op = ReduceOp::Sum) {
    RDom r(0, in.keys());
    Func of("of"), f("total");
    of(in.j, in.i, in.h, in.b) = body;
    f(in.i, in.h, in.b) = identity_of(op, body.type());
    f(in.i, in.h, in.b) = combine(op, f(in.i, in.h, in.b), of(r, in.i, in.h, in.b));
    return f;
}

Expr product(Inputs &in) {
    return scores(in.q, in.k)(in.j, in.i, in.h, in.b) * in.scale;
}

Func entropy(Inputs &in, const Expr &p) {
    return total(in, select(p > 0, -p * log(p), 0.0f));
}

/** The probabilities without a maximum, and with it. */
Expr bare_probability(Inputs &in) {
    Expr e = exp(where(causal(in.i, in.j), product(in)));
    return e / total(in, e)(in.i, in.h, in.b);
}

Expr safe_probability(Inputs &in) {
    return softmax(where(causal(in.i, in.j), product(in)), in.keys()).weights(in.j, in.i, in.h, in.b);
}

TEST(Magnitudes, SoftmaxWithoutAMaximum) {
    Inputs in;
    expect_equal(in, bare(in, causal_score()), from_blocks(in, causal_score()), make_large);
}

TEST(Magnitudes, EntropyWithoutAMaximum) {
    Inputs in;
    expect_equal(in, {entropy(in, bare_probability(in))}, {entropy(in, safe_probability(in))}, make_large);
}

TEST(Magnitudes, SquaresAndGreatestWithoutAMaximum) {
    Inputs in;
    Expr p = bare_probability(in), safe = safe_probability(in);
    expect_equal(in, {total(in, p * p), total(in, p, ReduceOp::Max)},
                 {total(in, safe * safe), total(in, safe, ReduceOp::Max)}, make_large);
}

/** log of a sum of exponentials of scores and values, a pivot for each feature. */
TEST(Magnitudes, LogSumExp) {
    Inputs in;
    const auto sum_of = [&](bool safe) {
        RDom r(0, in.keys());
        Func s("s"), top("top"), sum("sum"), out("out");
        s(in.d, in.j, in.i, in.h, in.b) = product(in) + in.v(in.d, in.j, in.h / 2, in.b);
        top(in.d, in.i, in.h, in.b) = -std::numeric_limits<float>::infinity();
        top(in.d, in.i, in.h, in.b) = Halide::max(top(in.d, in.i, in.h, in.b), s(in.d, r, in.i, in.h, in.b));
        Expr pivot = safe ? Expr(top(in.d, in.i, in.h, in.b)) : Expr(0.0f);
        sum(in.d, in.i, in.h, in.b) += exp(s(in.d, r, in.i, in.h, in.b) - pivot);
        out(in.d, in.i, in.h, in.b) = log(sum(in.d, in.i, in.h, in.b)) + pivot;
        return std::vector<Func>{out};
    };
    expect_equal(in, sum_of(false), sum_of(true), make_large);
}

/** A bias of -inf masks like a condition, also a whole row and whole segments. */
TEST(Magnitudes, MinusInfinityAsABias) {
    Inputs in;
    const ScoreOf biased = [](Inputs &in, Expr s) { return s + in.bias(in.j, in.i, in.h, in.b); };
    const auto mask = [](Data &data) {
        data.inputs["bias"] = [](const std::vector<int> &at) {
            const bool live = at[1] != 3 && (at[0] + at[1]) % 4 == 0 && at[0] > 5;
            return live ? 0.25 * at[0] : -INFINITY;
        };
    };
    expect_equal(in, from_blocks(in, biased), from_blocks(in, biased), mask);
}

/** A row of the least float is the average of its values: the finite fill is an ordinary score. */
TEST(Magnitudes, LeastFloatAsABias) {
    Inputs in;
    const ScoreOf biased = [](Inputs &in, Expr s) { return s + in.bias(in.j, in.i, in.h, in.b); };
    const auto mask = [](Data &data) {
        data.inputs["bias"] = [](const std::vector<int> &at) {
            const bool live = at[1] != 3 && at[0] <= at[1];
            return live ? 0 : double(std::numeric_limits<float>::lowest());
        };
    };
    expect_equal(in, from_blocks(in, biased), from_blocks(in, biased), mask);
    expect_equal(in, bare(in, biased), from_blocks(in, biased), mask);
}

/** Both ends of float's range in one row. */
TEST(Magnitudes, FarApart) {
    Inputs in;
    const ScoreOf biased = [](Inputs &in, Expr s) { return s + in.bias(in.j, in.i, in.h, in.b); };
    const auto far = [](Data &data) {
        data.inputs["bias"] = [](const std::vector<int> &at) {
            const double sizes[] = {-3e38, 0, 3e38, -1e30, 1e30};
            return sizes[(at[0] * 7 + at[1]) % 5];
        };
    };
    expect_equal(in, from_blocks(in, biased), from_blocks(in, biased), far);
    const auto p = [&] {
        return softmax(product(in) + in.bias(in.j, in.i, in.h, in.b), in.keys()).weights(in.j, in.i, in.h, in.b);
    };
    expect_equal(in, {entropy(in, p())}, {entropy(in, p())}, far);
}

/** What a NaN meets is NaN, and nothing else is. */
TEST(Magnitudes, NaNStaysInItsRows) {
    Inputs in;
    const auto poison = [](Data &data) {
        const auto old = data.inputs.at("k");
        data.inputs["k"] = [old](const std::vector<int> &at) { return at[1] == 3 ? NAN : old(at); };
    };
    const ReductionGraph graph = read_algorithm(from_blocks(in, causal_score()));
    const Plan plan = derive_online(graph);
    Data data = in.data();
    poison(data);
    add_outputs(data, graph, in.sizes);
    std::mt19937 random(1);
    EvaluatePlan online(graph, plan, data, random);
    for (int i = 0; i < in.sizes.queries; i++) {
        const double got = online.value(plan.outputs[0], {{"d", 1}, {"i", double(i)}, {"h", 0}, {"b", 0}});
        EXPECT_EQ(std::isnan(got), i >= 3) << "row " << i << ": got " << got << "\n" << plan;
    }
}

TEST(Magnitudes, OfProductsOfProbabilities) {
    Inputs in;
    Expr s = product(in), e = exp(s);
    Expr p = e / total(in, e)(in.i, in.h, in.b);
    Func all = total(in, select(causal(in.i, in.j), p, 1.0f), ReduceOp::Product), logarithm("logarithm");
    logarithm(in.i, in.h, in.b) = log(all(in.i, in.h, in.b));
    Expr lse = softmax(s, in.keys()).lse(in.i, in.h, in.b);
    const Func safe = total(in, select(causal(in.i, in.j), s - lse, 0.0f));
    expect_equal(in, {logarithm}, {safe}, make_large);
}

/** The sum of p (v - mean)^2 with weights whose exponentials overflow, and values far from 0. */
TEST(Magnitudes, OfSquaresUnderTheWeights) {
    Inputs in;
    RDom r(0, in.keys());
    const auto squares = [&](const Expr &weight) {
        Func w("w"), mean("mean"), f("squares");
        w(in.j, in.i, in.h, in.b) = weight;
        Expr v = in.v(in.d, r, in.h / 2, in.b), p = w(r, in.i, in.h, in.b);
        mean(in.d, in.i, in.h, in.b) += p * v;
        Expr u = v - mean(in.d, in.i, in.h, in.b);
        f(in.d, in.i, in.h, in.b) += p * u * u;
        return f;
    };
    Expr s = where(causal(in.i, in.j), product(in)), e = exp(s);
    const Func naive = squares(e / total(in, e)(in.i, in.h, in.b));
    const Func safe = squares(softmax(s, in.keys()).weights(in.j, in.i, in.h, in.b));
    expect_equal(in, {naive}, {safe}, [](Data &data) {
        make_large(data);
        const auto old = data.inputs.at("v");
        data.inputs["v"] = [old](const std::vector<int> &at) { return 1e7 + old(at); };
    });
}

TEST(Magnitudes, OfTheKeysOfSelections) {
    Inputs in;
    Expr s = where(causal(in.i, in.j) && in.j != 2, product(in));
    const Expr top = total(in, s, ReduceOp::Max)(in.i, in.h, in.b);
    const Func best = greatest(s, in.j, in.keys(), 3), shifted = greatest(s - top, in.j, in.keys(), 3);
    std::vector<Func> tested, safe;
    for (int n = 3; n < 6; n++) {
        Func a("a"), b("b");
        a(in.i, in.h, in.b) = shifted(in.i, in.h, in.b)[n];
        b(in.i, in.h, in.b) = best(in.i, in.h, in.b)[n];
        tested.push_back(a);
        safe.push_back(b);
    }
    expect_equal(in, tested, safe, make_large);
}

}  // namespace
