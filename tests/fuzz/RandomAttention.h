#ifndef STROBE_TESTS_FUZZ_RANDOM_ATTENTION_H
#define STROBE_TESTS_FUZZ_RANDOM_ATTENTION_H

/** \file
 * A random attention-like algorithm with its data: score, mask on positions and
 * data, weights, reductions, outputs. The same seed gives the same algorithm. */

#include "algorithm/ReductionGraph.h"
#include "driver/Problem.h"

#include <random>

namespace strobe::test {

class RandomAttention {
    using Expr = Halide::Expr;
    using Func = Halide::Func;
    using ImageParam = Halide::ImageParam;

    std::mt19937 random;
    ImageParam q, k, v, bias, gate, slopes, threshold, document, lengths;
    Halide::Param<float> scale{"scale", 0.3f, 1e-3f, 10.0f};
    Halide::Param<int> window{"window", 7, 0, 1000};
    Halide::Var d{"d"}, i{"i"}, j{"j"}, h{"h"}, b{"b"};
    int features = 1, values = 1;

    int pick(int n) {
        return int(random() % unsigned(n));
    }
    Expr element(const ImageParam &t, const Expr &feature, const Expr &position);
    Expr keys() const {
        return k.dim(1).extent();
    }
    Func operand(const ImageParam &t);
    Expr score();
    Expr condition(int depth);
    Expr masked(const Expr &mask, const Expr &s);
    Func row(const char *name, const Expr &body, ReduceOp op = ReduceOp::Sum);
    Expr running(const Expr &body);
    void add_statistic(const Expr &s, const Expr &mask, bool has_mask, std::vector<Expr> &rows);
    Expr softmax_weight(const Expr &s, const Expr &mask, bool has_mask, std::vector<Expr> &rows);
    Expr weight(const Expr &s, const Expr &mask, bool has_mask, std::vector<Expr> &rows);
    Expr result(const Expr &weight);
    void add_inputs();

public:
    Instance instance;
    Problem problem;
    std::string schedule;

    explicit RandomAttention(unsigned seed);
};

}  // namespace strobe::test

#endif
