// The rules for what is not a softmax, each from random segments merged in random order.
#include "Programs.h"

using namespace strobe;
using namespace strobe::test;
using Halide::cast;
using Halide::exp;
using Halide::log;
using Halide::max;
using Halide::min;
using Halide::select;
using Halide::sqrt;
using Halide::tanh;

namespace {

const float infinity = std::numeric_limits<float>::infinity();

/** sum over j of s over the number of keys. */
Expr mean_score(Inputs &in) {
    return at(in, total(in, product(in))) / cast<float>(in.keys());
}

Expr greatest_score(Inputs &in) {
    return at(in, total(in, product(in), ReduceOp::Max));
}

/** Softmax without any maximum. */
Expr plain_weight(Inputs &in) {
    Expr e = exp(product(in));
    return e / at(in, total(in, e));
}

Expr causal_weight(Inputs &in) {
    return causal_softmax(in).weights(in.j, in.i, in.h, in.b);
}

Expr value_of(Inputs &in, const Expr &key) {
    return in.v(in.d, key, in.h / 2, in.b);
}

/** The sum over j of weight * (v - centre)^2, one for each feature. */
Func squares(Inputs &in, const Expr &weight, const Expr &centre) {
    RDom r(0, in.keys());
    Func w("w"), f("squares");
    w(in.j, in.i, in.h, in.b) = weight;
    Expr u = value_of(in, r) - centre;
    f(in.d, in.i, in.h, in.b) += w(r, in.i, in.h, in.b) * u * u;
    return f;
}

std::vector<Program> programs() {
    std::vector<Program> all;
    const auto add = [&](const char *name, int passes, std::function<Func(Inputs &)> f) {
        all.push_back({name, passes, [f](Inputs &in) { return std::vector<Func>{f(in)}; }, {}});
    };
    // R1, R2: sums.
    add("log_sum_exp_with_a_maximum", 1, [](Inputs &in) {
        Func f("f");
        Expr m = greatest_score(in);
        f(in.i, in.h, in.b) = m + log(at(in, total(in, exp(product(in) - m))));
        return f;
    });
    add("log_sum_exp_in_base_two", 1, [](Inputs &in) {
        Func f("f");
        f(in.i, in.h, in.b) = log(at(in, total(in, pow(2.0f, product(in))))) / std::log(2.0f);
        return f;
    });
    add("mean_of_exponentials", 1, [](Inputs &in) {
        Func f("f");
        f(in.i, in.h, in.b) = at(in, total(in, exp(product(in)))) / at(in, total(in, Expr(1.0f)));
        return f;
    });
    add("division_by_a_sum_of_later_sums", 1, [](Inputs &in) {
        Expr p = plain_weight(in);
        Expr q = p / (1.0f + at(in, total(in, p * p)));
        return total(in, q * product(in));
    });
    add("exponential_of_a_sum", 2, [](Inputs &in) {
        return total(in, exp(product(in) * at(in, total(in, plain_weight(in) * 0.1f))));
    });
    add("kl_divergence_of_two_softmaxes", 2, [](Inputs &in) {
        Expr p = causal_weight(in);
        Expr t = scores(in.q2, in.k2)(in.j, in.i, in.h, in.b) * in.scale;
        Expr q = softmax(where(causal(in.i, in.j), t), in.keys()).weights(in.j, in.i, in.h, in.b);
        return total(in, select(causal(in.i, in.j), p * (log(p) - log(q)), 0.0f));
    });
    // R3: squares of what lies around an earlier result.
    add("variance_of_scores_by_pow", 1, [](Inputs &in) { return total(in, pow(product(in) - mean_score(in), 2)); });
    add("variance_under_the_weights", 1, [](Inputs &in) {
        Expr p = causal_weight(in);
        Func mean("mean");
        mean(in.i, in.h, in.b) = at(in, total(in, select(causal(in.i, in.j), p * product(in), 0.0f)));
        Expr u = product(in) - at(in, mean);
        return total(in, select(causal(in.i, in.j), p * u * u, 0.0f));
    });
    add("squares_around_another_result", 1, [](Inputs &in) {
        Func p = causal_softmax(in).weights;
        return squares(in, plain_weight(in), weighted_sum(p, in.v, in.q)(in.d, in.i, in.h, in.b) * 0.5f + 1.0f);
    });
    // R4: maxima through increasing functions.
    add("greatest_difference_to_the_mean", 1,
        [](Inputs &in) { return total(in, product(in) - mean_score(in), ReduceOp::Max); });
    add("least_difference_to_the_mean", 1,
        [](Inputs &in) { return total(in, 2.0f * (product(in) - mean_score(in)), ReduceOp::Min); });
    add("greatest_of_a_falling_function", 1,
        [](Inputs &in) { return total(in, tanh(mean_score(in) - product(in) * 0.5f), ReduceOp::Max); });
    add("greatest_of_a_clamped_score", 1, [](Inputs &in) {
        Expr m = mean_score(in);
        return total(in, max(min(product(in), m + 0.3f), m - 0.3f), ReduceOp::Max);
    });
    add("greatest_where_few_are_live", 1, [](Inputs &in) {
        Expr s = where(causal(in.i, in.j) && in.i != 3, tanh(product(in) + mean_score(in)));
        return total(in, s, ReduceOp::Max);
    });
    add("least_probability", 1, [](Inputs &in) { return total(in, plain_weight(in), ReduceOp::Min); });
    add("any_above_the_mean", 1, [](Inputs &in) {
        Func f("f");
        f(in.i, in.h, in.b) = cast<float>(at(in, total(in, product(in) > mean_score(in) + 1.0f, ReduceOp::Or)));
        return f;
    });
    add("all_below_a_bound", 1, [](Inputs &in) {
        Func f("f");
        Expr inside = !causal(in.i, in.j) || product(in) < mean_score(in) + 1.0f;
        f(in.i, in.h, in.b) = cast<float>(at(in, total(in, inside, ReduceOp::And)));
        return f;
    });
    add("greatest_of_a_product_of_unknown_sign", 2,
        [](Inputs &in) { return total(in, product(in) * mean_score(in), ReduceOp::Max); });
    // R4: selections.
    const auto add_all = [&](const char *name, int passes, std::function<std::vector<Func>(Inputs &)> f) {
        all.push_back({name, passes, std::move(f), {}});
    };
    add_all("argmax_of_halide", 1, [](Inputs &in) {
        RDom r(0, in.keys());
        Func s("s"), best("best"), which("which"), score("score");
        s(in.j, in.i, in.h, in.b) = where(causal(in.i, in.j) && in.i != 1, product(in));
        best(in.i, in.h, in.b) = argmax(r, s(r, in.i, in.h, in.b));
        which(in.i, in.h, in.b) = best(in.i, in.h, in.b)[0];
        score(in.i, in.h, in.b) = best(in.i, in.h, in.b)[1];
        return std::vector<Func>{which, score};
    });
    add_all("argmin_of_halide", 1, [](Inputs &in) {
        RDom r(0, in.keys());
        Func s("s"), best("best"), which("which");
        s(in.j, in.i, in.h, in.b) = product(in);
        best(in.i, in.h, in.b) = argmin(r, s(r, in.i, in.h, in.b));
        which(in.i, in.h, in.b) = best(in.i, in.h, in.b)[0];
        return std::vector<Func>{which};
    });
    add_all("argmax_around_the_mean", 1, [](Inputs &in) {
        RDom r(0, in.keys());
        Func s("s"), best("best"), which("which"), value("value");
        s(in.j, in.i, in.h, in.b) = 2.0f * product(in) - mean_score(in);
        best(in.i, in.h, in.b) = argmax(r, s(r, in.i, in.h, in.b));
        which(in.i, in.h, in.b) = best(in.i, in.h, in.b)[0];
        value(in.i, in.h, in.b) = best(in.i, in.h, in.b)[1];
        return std::vector<Func>{which, value};
    });
    add_all("argmax_in_reach_of_a_result", 2, [](Inputs &in) {
        RDom r(0, in.keys());
        Func s("s"), best("best"), which("which");
        s(in.j, in.i, in.h, in.b) = abs(product(in) - mean_score(in));
        best(in.i, in.h, in.b) = argmax(r, s(r, in.i, in.h, in.b));
        which(in.i, in.h, in.b) = best(in.i, in.h, in.b)[0];
        return std::vector<Func>{which};
    });
    for (const int count : {1, 3, 5}) {
        static const char *names[] = {"", "greatest_1", "", "greatest_3", "", "greatest_5"};
        add_all(names[count], 1, [count](Inputs &in) {
            // Rounded, so that some are equal.
            Expr s = where(causal(in.i, in.j), floor(product(in) * 4.0f));
            Func best = greatest(s, in.j, in.keys(), count);
            Func payload = greatest(s, in.bias(in.j, in.i, in.h, in.b) * 0.5f, in.keys(), count);
            std::vector<Func> outputs;
            for (int n : {0, count - 1, count, 2 * count - 1}) {
                Func f("f");
                f(in.i, in.h, in.b) = best(in.i, in.h, in.b)[n];
                outputs.push_back(f);
            }
            Func f("f");
            f(in.i, in.h, in.b) = payload(in.i, in.h, in.b)[2 * count - 1];
            outputs.push_back(f);
            return outputs;
        });
    }
    add_all("two_least_by_minima", 1, [](Inputs &in) {
        RDom r(0, in.keys());
        Func s("s"), least("least"), second("second");
        s(in.j, in.i, in.h, in.b) = product(in);
        Expr x = s(r, in.i, in.h, in.b);
        least(in.i, in.h, in.b) = Halide::Tuple(Expr(infinity), Expr(infinity));
        least(in.i, in.h, in.b) = Halide::Tuple(min(least(in.i, in.h, in.b)[0], x),
                                                min(least(in.i, in.h, in.b)[1], max(least(in.i, in.h, in.b)[0], x)));
        second(in.i, in.h, in.b) = least(in.i, in.h, in.b)[1] - least(in.i, in.h, in.b)[0];
        return std::vector<Func>{second};
    });
    add_all("values_of_the_greatest_score", 1, [](Inputs &in) {
        RDom r(0, in.keys());
        Func s("s"), best("best"), out("out");
        s(in.j, in.i, in.h, in.b) = where(causal(in.i, in.j), product(in));
        Expr x = s(r, in.i, in.h, in.b);
        best(in.d, in.i, in.h, in.b) = Halide::Tuple(Expr(-infinity), Expr(0.0f));
        Expr better = x > best(in.d, in.i, in.h, in.b)[0];
        best(in.d, in.i, in.h, in.b) =
            Halide::Tuple(select(better, x, best(in.d, in.i, in.h, in.b)[0]),
                          select(better, value_of(in, r), best(in.d, in.i, in.h, in.b)[1]));
        out(in.d, in.i, in.h, in.b) = best(in.d, in.i, in.h, in.b)[1];
        return std::vector<Func>{out};
    });
    // R5: products and counts.
    add("product_of_scaled_factors", 1, [](Inputs &in) {
        return total(in, (1.0f + 0.1f * tanh(product(in))) * tanh(mean_score(in)), ReduceOp::Product);
    });
    add("product_of_exponentials", 1,
        [](Inputs &in) { return total(in, exp(0.1f * product(in) - 0.1f * greatest_score(in)), ReduceOp::Product); });
    add("product_of_probabilities", 1, [](Inputs &in) {
        return total(in, select(causal(in.i, in.j), causal_weight(in), 1.0f), ReduceOp::Product);
    });
    add("product_of_sums", 2,
        [](Inputs &in) { return total(in, product(in) + mean_score(in), ReduceOp::Product); });
    add("count_of_live_keys_times_a_result", 1, [](Inputs &in) {
        return total(in, select(causal(in.i, in.j), greatest_score(in), 0.0f));
    });
    return all;
}

class Rules : public testing::TestWithParam<Program> {};

TEST_P(Rules, EqualTheDirectReductions) {
    expect_merges(GetParam());
}

INSTANTIATE_TEST_SUITE_P(, Rules, testing::ValuesIn(programs()),
                         [](const auto &info) { return std::string(info.param.name); });

}  // namespace
