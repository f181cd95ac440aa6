// Every plan, evaluated from random segments merged in random order, equals the
// reductions as the user wrote them.
#include "Programs.h"

using namespace strobe;
using namespace strobe::test;
using Halide::cast;
using Halide::exp;
using Halide::log;
using Halide::max;
using Halide::select;
using Halide::sqrt;

namespace {

std::vector<Program> programs() {
    std::vector<Program> all;
    for (const Variant &v : variants()) {
        all.push_back({v.name, 1, [v](Inputs &in) { return from_blocks(in, v.score); }, {}});
    }
    const auto add = [&](const char *name, int passes, std::function<std::vector<Func>(Inputs &)> f) {
        all.push_back({name, passes, std::move(f), {}});
    };
    add("lengths_of_keys_and_rows", 1, [](Inputs &in) {
        return from_blocks(in, [](Inputs &i, Expr s) {
            return where(i.j < i.lengths(i.b), where(i.i < i.lengths(i.b), where(causal(i.i, i.j), s)));
        });
    });
    add("mask_added_as_bias", 1, [](Inputs &in) {
        return from_blocks(in, [](Inputs &i, Expr s) {
            return (s + select(causal(i.i, i.j) && i.i != 2, 0.0f, -std::numeric_limits<float>::infinity())) * 2.0f;
        });
    });
    add("sink", 1, [](Inputs &in) {
        Expr s = where(causal(in.i, in.j) && in.i != 1, product(in));
        Func m = total(in, s, ReduceOp::Max);
        Expr top = max(at(in, m), in.slopes(in.h));
        Func l("l"), out("out"), lse("lse");
        l(in.i, in.h, in.b) = exp(in.slopes(in.h) - top) + at(in, total(in, exp(s - top)));
        out(in.d, in.i, in.h, in.b) = sum_with_values(in, exp(s - top) / at(in, l))(in.d, in.i, in.h, in.b);
        lse(in.i, in.h, in.b) = top + log(at(in, l));
        return std::vector<Func>{out, lse};
    });
    add("sigmoid", 1, [](Inputs &in) {
        return std::vector<Func>{
            sum_with_values(in, select(causal(in.i, in.j), 1.0f / (1.0f + exp(-product(in))), 0.0f))};
    });
    add("relu_with_normaliser", 1, [](Inputs &in) {
        Expr w = max(product(in), 0.0f);
        Func l = total(in, w), out("out");
        out(in.d, in.i, in.h, in.b) = sum_with_values(in, w)(in.d, in.i, in.h, in.b) / (at(in, l) + 0.5f);
        return std::vector<Func>{out};
    });
    add("two_softmaxes", 1, [](Inputs &in) {
        Expr t = scores(in.q2, in.k2)(in.j, in.i, in.h, in.b) * in.scale;
        Softmax a = causal_softmax(in), b = softmax(where(causal(in.i, in.j), t), in.keys());
        return std::vector<Func>{
            sum_with_values(in, a.weights(in.j, in.i, in.h, in.b) - in.lambda * b.weights(in.j, in.i, in.h, in.b))};
    });
    add("pair_bias", 1,
        [](Inputs &in) { return from_blocks(in, [](Inputs &i, Expr s) { return s + i.bias(i.j, i.i, i.h, i.b); }); });
    add("two_masks_on_one_score", 1, [](Inputs &in) {
        Softmax near = softmax(where(sliding_window(in.i, in.j, in.window), product(in)), in.keys());
        Softmax all = causal_softmax(in);
        return std::vector<Func>{
            sum_with_values(in, near.weights(in.j, in.i, in.h, in.b) * 0.25f + all.weights(in.j, in.i, in.h, in.b))};
    });
    add("entropy", 1, [](Inputs &in) {
        Expr p = causal_softmax(in).weights(in.j, in.i, in.h, in.b);
        return std::vector<Func>{total(in, select(p > 0, -p * log(p), 0.0f))};
    });
    add("variance_of_scores", 1, [](Inputs &in) {
        Func mean("mean");
        mean(in.i, in.h, in.b) = at(in, total(in, product(in))) / cast<float>(in.keys());
        Expr u = product(in) - at(in, mean);
        return std::vector<Func>{total(in, u * u)};
    });
    add("standardised_softmax", 2, [](Inputs &in) {
        Expr mean = at(in, total(in, product(in))) / cast<float>(in.keys());
        Expr u = product(in) - mean;
        Expr deviation = sqrt(at(in, total(in, u * u)) / cast<float>(in.keys()));
        Expr e = exp(u / deviation);
        Func l = total(in, e);
        return std::vector<Func>{sum_with_values(in, e / at(in, l))};
    });
    add("count_above_mean", 2, [](Inputs &in) {
        Expr mean = at(in, total(in, product(in))) / cast<float>(in.keys());
        return std::vector<Func>{total(in, cast<int>(product(in) >= mean))};
    });
    add("excess_over_threshold", 2, [](Inputs &in) {
        Expr threshold = at(in, total(in, product(in), ReduceOp::Max)) * 0.5f;
        return std::vector<Func>{total(in, max(product(in) - threshold, 0.0f))};
    });
    add("largest_probability", 1, [](Inputs &in) {
        return std::vector<Func>{total(in, causal_softmax(in).weights(in.j, in.i, in.h, in.b), ReduceOp::Max)};
    });
    add("largest_and_least_score", 1, [](Inputs &in) {
        Func both("both");
        both(in.i, in.h, in.b) =
            at(in, total(in, product(in), ReduceOp::Max)) - at(in, total(in, product(in), ReduceOp::Min));
        return std::vector<Func>{both};
    });
    add("product_and_any_and_all", 1, [](Inputs &in) {
        Func both("both");
        both(in.i, in.h, in.b) = at(in, total(in, 1 + 0.1f * product(in), ReduceOp::Product)) +
                                 cast<float>(at(in, total(in, product(in) > 0.5f, ReduceOp::Or))) +
                                 2 * cast<float>(at(in, total(in, product(in) > -0.9f, ReduceOp::And)));
        return std::vector<Func>{both};
    });
    add("count_of_live_keys", 1, [](Inputs &in) {
        Func n("n"), both("both");
        both(in.i, in.h, in.b) = at(in, total(in, cast<int>(causal(in.i, in.j)))) + 100 * at(in, total(in, Expr(1))) +
                                 cast<int>(at(in, total(in, product(in), ReduceOp::Max)));
        return std::vector<Func>{both};
    });
    add("sum_of_squared_probabilities", 1, [](Inputs &in) {
        Expr p = causal_softmax(in).weights(in.j, in.i, in.h, in.b);
        return std::vector<Func>{total(in, p * p)};
    });
    add("cosine", 1, [](Inputs &in) {
        RDom r(0, in.q.dim(0).extent());
        Func qq("qq"), kk("kk");
        qq(in.i, in.h, in.b) += in.q(r, in.i, in.h, in.b) * in.q(r, in.i, in.h, in.b);
        kk(in.j, in.h, in.b) += in.k(r, in.j, in.h / 2, in.b) * in.k(r, in.j, in.h / 2, in.b);
        Expr s = 10.0f * product(in) / sqrt(qq(in.i, in.h, in.b) * kk(in.j, in.h, in.b));
        return std::vector<Func>{sum_with_values(in, softmax(s, in.keys()).weights(in.j, in.i, in.h, in.b))};
    });
    add("backward_of_queries", 1, [](Inputs &in) {
        Expr p = causal_softmax(in).weights(in.j, in.i, in.h, in.b);
        Expr dp = scores(in.q2, in.k2)(in.j, in.i, in.h, in.b);
        return std::vector<Func>{sum_with_values(in, p * (dp - in.slopes(in.h)))};
    });
    add("norm_of_the_output", 1, [](Inputs &in) {
        Func o = weighted_sum(causal_softmax(in).weights, in.v, in.q), squares("squares"), out("out");
        RDom c(0, in.v.dim(0).extent());
        squares(in.i, in.h, in.b) += o(c, in.i, in.h, in.b) * o(c, in.i, in.h, in.b);
        out(in.d, in.i, in.h, in.b) = o(in.d, in.i, in.h, in.b) / sqrt(squares(in.i, in.h, in.b) + 1e-3f);
        return std::vector<Func>{out};
    });
    add("norm_only", 1, [](Inputs &in) {
        Func o = weighted_sum(causal_softmax(in).weights, in.v, in.q), squares("squares");
        RDom c(0, in.v.dim(0).extent());
        squares(in.i, in.h, in.b) += o(c, in.i, in.h, in.b) * o(c, in.i, in.h, in.b);
        return std::vector<Func>{squares};
    });
    add("greatest_score_plus_value", 1, [](Inputs &in) {
        RDom r(0, in.keys());
        Func s("s"), best("best");
        s(in.j, in.i, in.h, in.b) = where(causal(in.i, in.j), product(in));
        best(in.d, in.i, in.h, in.b) = -std::numeric_limits<float>::infinity();
        best(in.d, in.i, in.h, in.b) =
            max(best(in.d, in.i, in.h, in.b), s(r, in.i, in.h, in.b) + in.v(in.d, r, in.h / 2, in.b));
        return std::vector<Func>{best};
    });
    add("log_sum_of_score_plus_value", 1, [](Inputs &in) {
        RDom r(0, in.keys());
        Func s("s"), sum("sum"), out("out");
        s(in.j, in.i, in.h, in.b) = where(causal(in.i, in.j), product(in));
        sum(in.d, in.i, in.h, in.b) += exp(s(r, in.i, in.h, in.b) + in.v(in.d, r, in.h / 2, in.b));
        out(in.d, in.i, in.h, in.b) = log(sum(in.d, in.i, in.h, in.b));
        return std::vector<Func>{out};
    });
    add("distances_instead_of_products", 1, [](Inputs &in) {
        RDom c(0, in.q.dim(0).extent());
        Func distance("distance");
        Expr u = in.q(c, in.i, in.h, in.b) - in.k(c, in.j, in.h / 2, in.b);
        distance(in.j, in.i, in.h, in.b) += u * u;
        return std::vector<Func>{sum_with_values(
            in, softmax(-distance(in.j, in.i, in.h, in.b), in.keys()).weights(in.j, in.i, in.h, in.b))};
    });
    add("mean_score_under_the_weights", 1, [](Inputs &in) {
        Expr s = where(causal(in.i, in.j), product(in));
        Expr p = softmax(s, in.keys()).weights(in.j, in.i, in.h, in.b);
        return std::vector<Func>{total(in, select(causal(in.i, in.j), p * product(in), 0.0f))};
    });
    add("stick_breaking", 1, [](Inputs &in) {
        RDom later(0, in.v.dim(1).extent());
        Func s("s"), rest("rest");
        s(in.j, in.i, in.h, in.b) = product(in);
        Expr left = -log(1.0f + exp(s(later, in.i, in.h, in.b)));
        rest(in.j, in.i, in.h, in.b) += select(later > in.j && later < in.i, left, 0.0f);
        Expr share = 1.0f / (1.0f + exp(-s(in.j, in.i, in.h, in.b)));
        return std::vector<Func>{
            sum_with_values(in, select(in.j < in.i, share * exp(rest(in.j, in.i, in.h, in.b)), 0.0f))};
    });
    add("running_sum_beside_other_sums", 1, [](Inputs &in) {
        RDom before(0, in.v.dim(1).extent());
        Func s("s"), sum("sum"), both("both");
        s(in.j, in.i, in.h, in.b) = abs(product(in));
        sum(in.j, in.i, in.h, in.b) += select(before < in.j, s(before, in.i, in.h, in.b), 0.0f);
        Expr decayed = exp(-sum(in.j, in.i, in.h, in.b)) * s(in.j, in.i, in.h, in.b);
        RDom all(0, in.v.dim(1).extent());
        Func w("w"), t("t");
        w(in.j, in.i, in.h, in.b) = decayed;
        both(in.i, in.h, in.b) += w(all, in.i, in.h, in.b);
        t(in.i, in.h, in.b) += s(all, in.i, in.h, in.b);
        Func out("out");
        out(in.i, in.h, in.b) = at(in, both) + 2.0f * at(in, t);
        return std::vector<Func>{out};
    });
    add("variance_of_values", 1, [](Inputs &in) {
        Func p = causal_softmax(in).weights, mean = weighted_sum(p, in.v, in.q), squares("squares");
        RDom r(0, in.keys());
        Expr u = in.v(in.d, r, in.h / 2, in.b) - mean(in.d, in.i, in.h, in.b);
        squares(in.d, in.i, in.h, in.b) += p(r, in.i, in.h, in.b) * u * u;
        return std::vector<Func>{squares};
    });
    return all;
}

class Merges : public testing::TestWithParam<Program> {};

TEST_P(Merges, EqualTheDirectReductions) {
    expect_merges(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Programs, Merges, testing::ValuesIn(programs()),
                         [](const auto &info) { return std::string(info.param.name); });

/** Rows without a key: 0 and -inf, also where the user's own formula gives NaN. */
TEST(EmptyRows, AreZeroAndMinusInfinity) {
    for (const bool blocks : {true, false}) {
        Inputs in;
        const ScoreOf score = [](Inputs &i, Expr s) { return where(causal(i.i, i.j) && i.i != 3, s); };
        const ReductionGraph graph = read_algorithm(blocks ? from_blocks(in, score) : bare(in, score));
        const Plan plan = derive_online(graph);
        Data data = in.data();
        add_outputs(data, graph, in.sizes);
        std::mt19937 random(1);
        EvaluatePlan online(graph, plan, data, random);
        Point point = {{"i", 3}, {"h", 1}, {"b", 0}};
        EXPECT_EQ(online.value(plan.outputs[1], point), -INFINITY) << plan;
        point["d"] = 1;
        EXPECT_EQ(online.value(plan.outputs[0], point), 0) << plan;
    }
}

}  // namespace
