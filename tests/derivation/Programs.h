#ifndef STROBE_TESTS_DERIVATION_PROGRAMS_H
#define STROBE_TESTS_DERIVATION_PROGRAMS_H

/** \file
 * Small chains of reductions over keys, and the check that a plan, evaluated from random
 * segments merged in random order, equals them as the user wrote them. */

#include "Algorithms.h"
#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"

#include <gtest/gtest.h>

namespace strobe::test {

struct Program {
    const char *name;
    int passes;
    std::function<std::vector<Func>(Inputs &)> algorithm;
    std::vector<int> values;  // extents of a feature dimension; {} for outputs over (i, h, b)
};

inline std::ostream &operator<<(std::ostream &stream, const Program &p) {
    return stream << p.name;
}

inline Expr product(Inputs &in) {
    return scores(in.q, in.k)(in.j, in.i, in.h, in.b) * in.scale;
}

inline Func sum_with_values(Inputs &in, const Expr &weight) {
    Func w("w");
    w(in.j, in.i, in.h, in.b) = weight;
    return weighted_sum(w, in.v, in.q);
}

/** total(i, h, b) = (op) over j of body. */
inline Func total(Inputs &in, const Expr &body, ReduceOp op = ReduceOp::Sum) {
    RDom r(0, in.keys());
    Func of("of"), f("total");
    of(in.j, in.i, in.h, in.b) = body;
    Expr x = of(r, in.i, in.h, in.b);
    f(in.i, in.h, in.b) = identity_of(op, x.type());
    f(in.i, in.h, in.b) = combine(op, f(in.i, in.h, in.b), x);
    return f;
}

inline Expr at(Inputs &in, const Func &f) {
    return f(in.i, in.h, in.b);
}

inline Softmax causal_softmax(Inputs &in) {
    return softmax(where(causal(in.i, in.j), product(in)), in.keys());
}

/** The plan has as many passes as the program says, and its results from partial states are the direct ones. */
inline void expect_merges(const Program &p) {
    Inputs in;
    const ReductionGraph graph = read_algorithm(p.algorithm(in));
    const Plan plan = derive_online(graph);
    EXPECT_EQ(int(plan.passes.size()), p.passes) << plan;
    for (unsigned seed = 0; seed < 3; seed++) {
        Data data = in.data(seed, seed == 2 ? 8 : 1);
        add_outputs(data, graph, in.sizes);
        std::mt19937 random(seed);
        EvaluateGraph direct(graph, data);
        EvaluatePlan online(graph, plan, data, random);
        for (size_t n = 0; n < graph.outputs.size(); n++) {
            direct.for_each_point(graph.outputs[n].axes, [&](const Point &point) {
                const double expected = direct.value(graph.outputs[n].value, point);
                const double got = online.value(plan.outputs[n], point);
                std::ostringstream where;
                for (const auto &[axis, x] : point) {
                    where << axis << "=" << x << " ";
                }
                if (std::isfinite(expected)) {
                    ASSERT_NEAR(got, expected, 1e-9 * std::max(1.0, std::abs(expected)))
                        << "seed " << seed << ", " << graph.outputs[n].name << " at " << where.str() << "\n"
                        << plan;
                } else {
                    ASSERT_EQ(got, expected)
                        << "seed " << seed << ", " << graph.outputs[n].name << " at " << where.str() << "\n"
                        << plan;
                }
            });
        }
    }
}

}  // namespace strobe::test

#endif
