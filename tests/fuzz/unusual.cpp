// Attention as nobody writes it down in papers, or hardly: none of these has code made for it. Unscheduled, interpreted and
// compiled for the CPU they give the same, and a GPU takes them.
#include "ThreeWays.h"
#include "driver/CompileCuda.h"
#include "strobe/attention.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace Halide;
using namespace strobe;
using namespace strobe::test;

namespace {

constexpr int features = 8, values = 6, more_values = 3, heads = 2;
const float infinity = std::numeric_limits<float>::infinity();

struct Inputs {
    ImageParam q{Float(32), 4, "q"}, k{Float(32), 4, "k"}, v{Float(32), 4, "v"}, v2{Float(32), 4, "v2"};
    ImageParam q2{Float(32), 4, "q2"}, k2{Float(32), 4, "k2"}, q3{Float(32), 4, "q3"}, k3{Float(32), 4, "k3"};
    ImageParam of_row{Float(32), 3, "of_row"}, of_key{Float(32), 3, "of_key"}, place{Float(32), 2, "place"};
    ImageParam slopes{Float(32), 1, "slopes"}, lengths{Int(32), 1, "lengths"};
    Param<float> scale{"scale", 0.3f, 1e-3f, 10.0f};
    Var d{"d"}, i{"i"}, j{"j"}, h{"h"}, b{"b"};

    Inputs() {
        for (ImageParam *p : {&q, &k, &q2, &k2, &q3, &k3}) {
            p->dim(0).set_bounds(0, features);
        }
        v.dim(0).set_bounds(0, values);
        v2.dim(0).set_bounds(0, more_values);
    }
    std::vector<Parameter> all() const {
        std::vector<Parameter> list;
        for (const ImageParam &p : {q, k, v, v2, q2, k2, q3, k3, of_row, of_key, place, slopes, lengths}) {
            list.push_back(p.parameter());
        }
        list.push_back(scale.parameter());
        return list;
    }
    Expr keys() const {
        return k.dim(1).extent();
    }
    Expr dot(const ImageParam &a, const ImageParam &e) const {
        return scores(Tensor(a), Tensor(e))(j, i, h, b) * scale;
    }
    Expr dot() const {
        return dot(q, k);
    }
    /** The squared distance of q and k. */
    Expr distance() const {
        RDom c(0, features);
        Func f("distance");
        const Expr u = q(c, i, h, b) - k(c, j, h, b);
        f(j, i, h, b) += u * u;
        return f(j, i, h, b) * scale;
    }
    Expr row(const Expr &body, ReduceOp op = ReduceOp::Sum) const {
        RDom all(0, keys());
        Func of("of"), f("row");
        of(j, i, h, b) = body;
        const Expr x = of(all, i, h, b);
        f(i, h, b) = identity_of(op, x.type());
        f(i, h, b) = combine(op, f(i, h, b), x);
        return f(i, h, b);
    }
    Expr softmaxed(const Expr &s) const {
        return softmax(s, keys()).weights(j, i, h, b);
    }
    Func sum(const Expr &weight, const ImageParam &of) const {
        Func w("w"), f("sum");
        RDom all(0, keys());
        w(j, i, h, b) = weight;
        f(d, i, h, b) += w(all, i, h, b) * of(d, all, h, b);
        return f;
    }
    Func out(const Expr &e, int width = values, const char *name = "out") const {
        Func f(name);
        f(d, i, h, b) = e;
        f.output_buffer().dim(0).set_bounds(0, width);
        return f;
    }
    Func weighted(const Expr &weight) const {
        return out(sum(weight, v)(d, i, h, b));
    }
    Func statistic(const Expr &e, const char *name = "statistic") const {
        Func f(name);
        f(i, h, b) = e;
        return f;
    }
};

using Define = std::function<std::vector<Func>(Inputs &)>;

struct Case {
    const char *name;
    Define define;
};

std::ostream &operator<<(std::ostream &s, const Case &c) {
    return s << c.name;
}

std::vector<Case> cases() {
    using Outputs = std::vector<Func>;
    return {
        {"power_law", [](Inputs &in) {
             const Expr u = 1.0f + max(in.dot(), 0.0f), w = 1.0f / (u * u);
             return Outputs{in.weighted(w / in.row(w))};
         }},
        {"fourth_power", [](Inputs &in) {
             const Expr s = in.dot(), w = s * s * s * s;
             return Outputs{in.weighted(w / (in.row(w) + 1e-3f))};
         }},
        {"cubed_relu", [](Inputs &in) {
             const Expr r = max(in.dot(), 0.0f), w = select(causal(in.i, in.j), r * r * r, 0.0f);
             return Outputs{in.weighted(w / (in.row(w) + 1.0f))};
         }},
        {"softmax_times_gate_of_keys", [](Inputs &in) {
             return Outputs{in.weighted(in.softmaxed(where(causal(in.i, in.j), in.dot())) * sigmoid(in.of_key(in.j, in.h, in.b)))};
         }},
        {"softmax_times_gate_of_both", [](Inputs &in) {
             return Outputs{in.weighted(in.softmaxed(in.dot()) * sigmoid(in.dot(in.q2, in.k2)))};
         }},
        {"product_of_two_softmaxes", [](Inputs &in) {
             const Expr p = in.softmaxed(in.dot()) * in.softmaxed(in.dot(in.q2, in.k2));
             return Outputs{in.weighted(p / in.row(p))};
         }},
        {"three_softmaxes_on_the_same_values", [](Inputs &in) {
             const Expr p = in.softmaxed(in.dot()), p2 = in.softmaxed(in.dot(in.q2, in.k2)), p3 = in.softmaxed(in.dot(in.q3, in.k3));
             return Outputs{in.weighted(p - 0.5f * p2 + in.slopes(in.h) * p3)};
         }},
        {"two_value_tensors", [](Inputs &in) {
             const Expr p = in.softmaxed(where(causal(in.i, in.j), in.dot()));
             return Outputs{in.weighted(p), in.out(in.sum(p, in.v2)(in.d, in.i, in.h, in.b), more_values, "narrow")};
         }},
        {"log_sum_exp_over_heads", [](Inputs &in) {
             RDom c(0, features), all_heads(0, heads), all(0, in.keys());
             Func s("s"), e("e"), total("total"), w("w"), o("o"), out("out");
             s(in.j, in.i, in.h, in.b) += in.q(c, in.i, in.h, in.b) * in.k(c, in.j, in.h, in.b);
             e(in.j, in.i, in.b) += exp(s(in.j, in.i, all_heads, in.b) * in.scale);
             w(in.j, in.i, in.h, in.b) = log(e(in.j, in.i, in.b)) * in.slopes(in.h);
             return Outputs{in.weighted(in.softmaxed(w(in.j, in.i, in.h, in.b)))};
         }},
        {"gaussian_kernel", [](Inputs &in) {
             const Expr w = exp(-in.distance());
             return Outputs{in.weighted(w / (in.row(w) + 1e-6f)), in.statistic(log(in.row(w)))};
         }},
        {"student_t", [](Inputs &in) {
             const Expr w = select(in.j < in.lengths(in.b), 1.0f / (1.0f + in.distance()), 0.0f);
             return Outputs{in.weighted(w / (in.row(w) + 1e-3f))};
         }},
        {"temperature_of_each_row", [](Inputs &in) {
             return Outputs{in.weighted(in.softmaxed(in.dot() / (0.5f + abs(in.of_row(in.i, in.h, in.b)))))};
         }},
        {"distances_of_places_in_data", [](Inputs &in) {
             const Expr far = abs(in.place(in.i, in.b) - in.place(in.j, in.b));
             return Outputs{in.weighted(in.softmaxed(where(causal(in.i, in.j), in.dot() - in.slopes(in.h) * far)))};
         }},
        {"rank_one_bias", [](Inputs &in) {
             return Outputs{in.weighted(in.softmaxed(in.dot() + in.of_row(in.i, in.h, in.b) * in.of_key(in.j, in.h, in.b)))};
         }},
        {"prior_of_keys", [](Inputs &in) {
             const Expr w = exp(in.dot()) * abs(in.of_key(in.j, in.h, in.b));
             return Outputs{in.weighted(w / in.row(w))};
         }},
        {"powers_of_probabilities", [](Inputs &in) {
             const Expr p = in.softmaxed(in.dot()), w = p * p;
             return Outputs{in.weighted(w / in.row(w)), in.statistic(-log(in.row(w)))};
         }},
        {"entropy_added_to_values", [](Inputs &in) {
             const Expr p = in.softmaxed(in.dot());
             const Expr entropy = -in.row(select(p > 0.0f, p * log(p), 0.0f));
             return Outputs{in.out(in.sum(p, in.v)(in.d, in.i, in.h, in.b) + 0.1f * entropy)};
         }},
        {"variance_of_scores_under_the_weights", [](Inputs &in) {
             const Expr s = in.dot(), p = in.softmaxed(s), mean = in.row(p * s);
             return Outputs{in.weighted(p), in.statistic(in.row(p * (s - mean) * (s - mean)))};
         }},
        {"greatest_weighted_value", [](Inputs &in) {
             const Expr p = in.softmaxed(where(causal(in.i, in.j), in.dot()));
             Func w("w"), best("best");
             RDom all(0, in.keys());
             w(in.j, in.i, in.h, in.b) = p;
             best(in.d, in.i, in.h, in.b) = -infinity;
             best(in.d, in.i, in.h, in.b) =
                 max(best(in.d, in.i, in.h, in.b), w(all, in.i, in.h, in.b) * in.v(in.d, all, in.h, in.b));
             return Outputs{in.out(best(in.d, in.i, in.h, in.b))};
         }},
        {"nearest_value", [](Inputs &in) {
             RDom all(0, in.keys());
             Func far("far"), least("least");
             far(in.j, in.i, in.h, in.b) = in.distance();
             least(in.d, in.i, in.h, in.b) = infinity;
             least(in.d, in.i, in.h, in.b) =
                 min(least(in.d, in.i, in.h, in.b), far(all, in.i, in.h, in.b) + in.v(in.d, all, in.h, in.b));
             return Outputs{in.out(least(in.d, in.i, in.h, in.b))};
         }},
        {"all_that_reach_the_maximum", [](Inputs &in) {
             const Expr s = in.dot(), m = in.row(s, ReduceOp::Max), hit = select(s >= m - 0.1f, 1.0f, 0.0f);
             return Outputs{in.weighted(hit / in.row(hit))};
         }},
        {"rectified_softmax", [](Inputs &in) {
             const Expr s = in.dot(), e = exp(s) - 1.0f;
             return Outputs{in.weighted(max(e, 0.0f) / (in.row(abs(e)) + 1e-6f))};
         }},
        {"signed_weights", [](Inputs &in) {
             const Expr w = tanh(in.dot());
             return Outputs{in.weighted(w / (in.row(abs(w)) + 1e-3f))};
         }},
        {"decayed_products", [](Inputs &in) {
             const Expr decay = exp(-in.slopes(in.h) * cast<float>(in.i - in.j));
             const Expr w = select(causal(in.i, in.j), in.dot() * decay, 0.0f);
             return Outputs{in.weighted(w / max(abs(in.row(w)), 1.0f))};
         }},
        {"taylor_series_of_the_exponential", [](Inputs &in) {
             const Expr s = in.dot(), w = 1.0f + s + s * s * 0.5f;
             return Outputs{in.weighted(w / in.row(w))};
         }},
        {"sigmoid_with_its_sum", [](Inputs &in) {
             const Expr w = sigmoid(in.dot() - 1.0f);
             return Outputs{in.weighted(w / (1.0f + in.row(w)))};
         }},
        {"smooth_maximum_of_scores", [](Inputs &in) {
             const Expr s = in.dot(), p = in.softmaxed(s * 4.0f);
             return Outputs{in.statistic(in.row(p * s)), in.statistic(in.row(s, ReduceOp::Max), "maximum")};
         }},
        {"geometric_mean_of_weights", [](Inputs &in) {
             const Expr w = 0.5f + sigmoid(in.dot());
             return Outputs{in.statistic(in.row(w, ReduceOp::Product)), in.weighted(w / in.row(w))};
         }},
        {"linear_with_a_gate_of_keys", [](Inputs &in) {
             RDom c(0, features);
             Func s("s");
             s(in.j, in.i, in.h, in.b) += exp(in.q(c, in.i, in.h, in.b) * 0.2f) * max(in.k(c, in.j, in.h, in.b), 0.0f);
             const Expr w = select(in.j < in.i, s(in.j, in.i, in.h, in.b) * sigmoid(in.of_key(in.j, in.h, in.b)), 0.0f);
             return Outputs{in.weighted(w / (in.row(w) + 1.0f)), in.out(in.sum(w, in.v2)(in.d, in.i, in.h, in.b), more_values, "narrow")};
         }},
    };
}

Subject subject_of(const Case &c, int queries, int keys, const std::string &schedule) {
    Inputs in;
    Subject s;
    s.instance.name = c.name;
    s.instance.outputs = c.define(in);
    s.instance.pipeline = Pipeline(s.instance.outputs);
    const std::vector<Argument> arguments = s.instance.pipeline.infer_arguments();
    for (const Parameter &p : in.all()) {
        if (std::any_of(arguments.begin(), arguments.end(), [&](const Argument &a) { return a.name == p.name(); })) {
            s.instance.inputs.push_back(p);
            if (!p.is_buffer()) {
                s.problem.scalars[p.name()] = 0.3;
            }
        }
    }
    s.problem.batch = 2;
    s.problem.heads = s.problem.kv_heads = heads;
    s.problem.queries = queries;
    s.problem.keys = keys;
    s.problem.seed = 5;
    bind_inputs(s.instance, s.problem);
    s.schedule = schedule;
    return s;
}

class Unusual : public testing::TestWithParam<Case> {};

TEST_P(Unusual, UnscheduledIsInterpretedIsCompiled) {
    try {
        expect_same("as scheduled", [] { return subject_of(GetParam(), 37, 45, ""); });
        expect_same("ragged tiles", [] { return subject_of(GetParam(), 21, 50, "tile(i, 16)\nstream(j, 8)"); });
    } catch (const UserError &e) {
        FAIL() << e.what();
    }
}

TEST_P(Unusual, HasKernels) {
    try {
        const CudaCompilation c = compile_cuda(subject_of(GetParam(), 5, 5, "").instance.outputs, Target("x86-64-linux-cuda"));
        EXPECT_FALSE(c.package.code.empty());
        for (const KernelStatistics &k : c.kernels) {
            EXPECT_EQ(k.spill_store_bytes + k.spill_load_bytes, 0) << c.statistics();
        }
    } catch (const UserError &e) {
        FAIL() << e.what();
    }
}

INSTANTIATE_TEST_SUITE_P(, Unusual, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case> &info) { return info.param.name; });

/** What is outside of the model, and what the error must name. */
struct Outside {
    const char *name;
    Define define;
    std::vector<const char *> says;
};

std::ostream &operator<<(std::ostream &s, const Outside &o) {
    return s << o.name;
}

std::vector<Outside> outside() {
    using Outputs = std::vector<Func>;
    return {
        {"attention_through_other_rows", [](Inputs &in) {
             RDom all(0, in.keys()), again(0, in.keys());
             Func p("p"), two("two"), out("out");
             p(in.j, in.i, in.h, in.b) = in.softmaxed(in.dot());
             two(in.j, in.i, in.h, in.b) += p(again, in.i, in.h, in.b) * p(in.j, again, in.h, in.b);
             return Outputs{in.weighted(two(in.j, in.i, in.h, in.b))};
         }, {"two"}},
        {"one_normaliser_for_all_rows", [](Inputs &in) {
             RDom both(0, in.keys(), 0, in.q.dim(1).extent());
             Func e("e"), whole("whole");
             e(in.j, in.i, in.h, in.b) = exp(in.dot());
             whole(in.h, in.b) += e(both.x, both.y, in.h, in.b);
             return Outputs{in.weighted(e(in.j, in.i, in.h, in.b) / whole(in.h, in.b))};
         }, {"whole"}},
        {"sum_of_results_over_heads", [](Inputs &in) {
             RDom all_heads(0, heads);
             Func o = in.sum(in.softmaxed(in.dot()), in.v), total("over_heads");
             total(in.d, in.i, in.b) += o(in.d, in.i, all_heads, in.b);
             return Outputs{total};
         }, {"over_heads"}},
        {"running_maximum_of_scores", [](Inputs &in) {
             RDom before(0, in.keys());
             Func s("s"), top("top");
             s(in.j, in.i, in.h, in.b) = in.dot();
             top(in.j, in.i, in.h, in.b) = -infinity;
             top(in.j, in.i, in.h, in.b) =
                 max(top(in.j, in.i, in.h, in.b), select(before <= in.j, s(before, in.i, in.h, in.b), -infinity));
             return Outputs{in.weighted(in.softmaxed(in.dot() - top(in.j, in.i, in.h, in.b)))};
         }, {"top", "a running max along"}},
        {"scores_of_scores", [](Inputs &in) {
             RDom all(0, in.keys());
             Func s("s"), mixed("mixed");
             s(in.j, in.i, in.h, in.b) = in.dot();
             mixed(in.j, in.i, in.h, in.b) += s(all, in.i, in.h, in.b) * in.k(all % features, in.j, in.h, in.b);
             return Outputs{in.weighted(in.softmaxed(mixed(in.j, in.i, in.h, in.b)))};
         }, {"mixed"}},
        {"stored_scores", [](Inputs &in) {
             Func s("all_scores");
             s(in.j, in.i, in.h, in.b) = in.dot();
             return Outputs{s};
         }, {"all_scores"}},
    };
}

class OutsideOfTheModel : public testing::TestWithParam<Outside> {};

TEST_P(OutsideOfTheModel, IsRefusedByName) {
    Inputs in;
    for (const char *target : {"host", "x86-64-linux-cuda"}) {
        try {
            const std::vector<Func> outputs = GetParam().define(in);
            const Target t = std::string(target) == "host" ? get_host_target() : Target(target);
            t.has_feature(Target::CUDA) ? (void)compile_cuda(outputs, t) : (void)compile(outputs, t);
            ADD_FAILURE() << "it was accepted";
        } catch (const UserError &e) {
            for (const char *text : GetParam().says) {
                EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(, OutsideOfTheModel, testing::ValuesIn(outside()),
                         [](const testing::TestParamInfo<Outside> &info) { return info.param.name; });

}  // namespace
