// Random chains of reductions: whatever plan is derived computes what was written.
#include "Algorithms.h"
#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "support/Error.h"

#include <cstdlib>
#include <gtest/gtest.h>

using namespace strobe;
using namespace strobe::test;
using Halide::cast;
using Halide::exp;
using Halide::log;
using Halide::max;
using Halide::min;
using Halide::select;
using Halide::tanh;

namespace {

/** A Func over (j, i, h, b) or (i, h, b) from a small grammar around exponentials,
 * quotients, masks and earlier results. */
class RandomProgram {
    Inputs &in;
    std::mt19937 &random;
    Func score{"score"};
    std::vector<Func> results;

    int pick(int n) {
        return int(random() % unsigned(n));
    }
    Expr number() {
        return float(pick(9) - 4) * 0.5f;
    }
    Expr streamed() {
        switch (pick(4)) {
        case 0:
            return in.k(0, in.j, in.h / 2, in.b);
        case 1:
            return cast<float>(in.j - in.i) * 0.1f;
        default:
            return score(in.j, in.i, in.h, in.b);
        }
    }
    Expr row() {
        if (!results.empty() && pick(4)) {
            return results[pick(int(results.size()))](in.i, in.h, in.b);
        }
        return pick(2) ? Expr(in.slopes(in.h)) : number();
    }
    Expr mask() {
        switch (pick(5)) {
        case 0:
            return in.j <= in.i;
        case 1:
            return in.j < 7 || in.i == 1;
        case 2:
            return in.i != 2;
        case 3:
            return in.lengths(in.b) > in.j;
        default:
            return !(in.j > in.i) && in.i - in.j <= in.window;
        }
    }
    /** Of moderate size, so that exponentials stay in range. */
    Expr exponent(int depth) {
        Expr e = tanh(streamed()) * 2.0f;
        if (pick(2)) {
            e = e - tanh(row());
        }
        if (pick(3) == 0) {
            e = (e + number()) * 0.5f;
        }
        if (depth > 0 && pick(3) == 0) {
            e = select(mask(), e, -std::numeric_limits<float>::infinity());
        }
        return e;
    }
    Expr body(int depth) {
        if (depth == 0) {
            return pick(3) ? streamed() : row();
        }
        switch (pick(12)) {
        case 0:
        case 1:
            return exp(exponent(depth));
        case 2:
            return body(depth - 1) + body(depth - 1);
        case 3:
            return body(depth - 1) - body(depth - 1);
        case 4:
        case 5:
            return body(depth - 1) * body(depth - 1);
        case 6:
            return body(depth - 1) / (1.5f + tanh(pick(2) ? row() : streamed()));
        case 7:
            return exp(exponent(depth)) / (0.1f + exp(tanh(row())));
        case 8:
            return select(mask(), body(depth - 1), pick(2) ? Expr(0.0f) : body(depth - 1));
        case 9:
            return select(row() > number(), body(depth - 1), body(depth - 1));
        case 10:
            return max(body(depth - 1), body(depth - 1));
        default:
            return cast<float>(streamed() > row());
        }
    }

    void add_reduction() {
        RDom r(0, in.keys());
        Func of("of"), f("result");
        of(in.j, in.i, in.h, in.b) = body(2);
        Expr x = of(r, in.i, in.h, in.b);
        const ReduceOp op = pick(4) ? ReduceOp::Sum : pick(2) ? ReduceOp::Max : ReduceOp::Min;
        f(in.i, in.h, in.b) = pick(5) ? identity_of(op, Halide::Float(32)) : Expr(in.slopes(in.h));
        f(in.i, in.h, in.b) = combine(op, f(in.i, in.h, in.b), x);
        // Bounded, so that chains do not explode; infinities of empty rows stay out too.
        Func kept("kept");
        kept(in.i, in.h, in.b) = pick(3) ? f(in.i, in.h, in.b) : max(min(f(in.i, in.h, in.b), 10.0f), -10.0f);
        results.push_back(kept);
    }

public:
    RandomProgram(Inputs &in, std::mt19937 &random) : in(in), random(random) {
        score(in.j, in.i, in.h, in.b) = scores(in.q, in.k)(in.j, in.i, in.h, in.b) * in.scale;
    }

    std::vector<Func> outputs() {
        const int n = 1 + pick(3);
        for (int k = 0; k < n; k++) {
            add_reduction();
        }
        Func out("out");
        Expr last = results.back()(in.i, in.h, in.b);
        switch (pick(4)) {
        case 0:
            out(in.i, in.h, in.b) = last / (2.0f + tanh(row()));
            break;
        case 1:
            out(in.i, in.h, in.b) = select(row() > 0.0f, last, row());
            break;
        default:
            out(in.i, in.h, in.b) = last;
        }
        return {out};
    }
};

std::string check(unsigned seed, int *checked, int *passes) {
    Inputs in;
    in.sizes.heads = 2;
    in.sizes.batches = 2;
    in.sizes.queries = 4;
    in.sizes.keys = 9;
    std::mt19937 random(seed);
    RandomProgram program(in, random);
    const ReductionGraph graph = read_algorithm(program.outputs());
    std::ostringstream wrong;
    try {
        const Plan plan = derive_online(graph);
        *passes += int(plan.passes.size());
        Data data = in.data(seed);
        add_outputs(data, graph, in.sizes);
        EvaluateGraph direct(graph, data);
        EvaluatePlan online(graph, plan, data, random);
        direct.for_each_point(graph.outputs[0].axes, [&](const Point &point) {
            const double expected = direct.value(graph.outputs[0].value, point);
            if (!std::isfinite(expected) || std::abs(expected) > 1e6) {
                return;  // 0 / 0 and the like: the plan may define what the algorithm does not
            }
            const double got = online.value(plan.outputs[0], point);
            ++*checked;
            if (wrong.str().empty() && !(std::abs(got - expected) <= 1e-6 * std::max(1.0, std::abs(expected)))) {
                wrong << "seed " << seed << ": got " << got << ", expected " << expected << " at i=" << point.at("i")
                      << " h=" << point.at("h") << " b=" << point.at("b") << "\n"
                      << graph << plan;
            }
        });
    } catch (const Halide::Error &e) {
        wrong << "seed " << seed << " Halide: " << e.what() << "\n" << graph;
    } catch (const UserError &e) {
        const std::string text = e.what();
        const bool explained = text.find("reduces nothing") != std::string::npos ||
                               text.find("is a row") != std::string::npos ||
                               text.find("no dimension for") != std::string::npos;
        if (!explained) {
            wrong << "seed " << seed << " refused: " << text << "\n" << graph;
        }
    }
    return wrong.str();
}

/** STROBE_FUZZ_SEEDS=n runs n seeds; a failure prints its seed, STROBE_FUZZ_FIRST reruns it. */
TEST(FuzzAlgebra, RandomChains) {
    const char *seeds = std::getenv("STROBE_FUZZ_SEEDS"), *first = std::getenv("STROBE_FUZZ_FIRST");
    const unsigned begin = first ? unsigned(std::atoi(first)) : 0, count = seeds ? unsigned(std::atoi(seeds)) : 300;
    int checked = 0, passes = 0;
    for (unsigned seed = begin; seed < begin + count; seed++) {
        ASSERT_EQ(check(seed, &checked, &passes), "");
    }
    std::cout << checked << " values of " << count << " programs, " << double(passes) / count << " passes each\n";
    EXPECT_GT(checked, int(count) * 4);
}

}  // namespace
