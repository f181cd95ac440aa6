#ifndef STROBE_TILE_PASS_BUILDER_H
#define STROBE_TILE_PASS_BUILDER_H

/** \file
 * What builds the ops of one pass, in several files: BuildPass.cpp has the order of things and
 * the pivots, BuildMoments.cpp the moments, BuildAround.cpp those around a mean, BuildSelection.cpp
 * those of selections, BuildAhead.cpp how rows start from sums of what separates, MergeParts.cpp how states move to other pivots and merge. */

#include "TileBuilder.h"

#include <algorithm>

namespace strobe {

/** What the weights of a pivot are in Exprs of the step. */
struct Weights {
    Expr value;           // exp(exponent - pivot): a tile, or an Expr where features are in it
    Expr exponent;        // exponent - pivot
    std::string next;     // the pivot's next value, and the factor that moves
    std::string rescale;  // the old state to it; "" for a constant pivot
};

class PassBuilder {
    TileBuilder &b;
    const Pass &plan;
    const size_t first_pivot, first_moment;  // of this pass, for the names of its values
    const std::string query, stream;
    std::vector<Weights> weights;  // of each pivot

    struct Term {
        Expr value;
        bool masked;
        Expr own_guard;
        ReduceOp op;
        std::string tile;
    };
    std::vector<Term> terms;

    /** A value that the walk carries for a moment. */
    struct State {
        const Moment *moment;
        std::string name;
        std::set<std::string> axes;
    };
    std::vector<State> states;

    /** The mean that moments of the pass lie around. */
    struct Mean {
        const Moment *weight, *weighted;
        std::set<std::string> axes;
        std::string mean, before, weight_before;  // "" before `mean` is computed; both before the tile
    };
    std::vector<Mean> means;

    std::string numbered(const std::string &base, size_t i) {
        return b.unique(base + std::to_string(i));
    }

    /** Where the pass' mask holds, this guard may still not. */
    bool narrower(const Expr &guard) const {
        return guard.defined() && !Halide::Internal::graph_equal(guard, plan.mask.guard);
    }

    void add_pivot(const Pivot &p, size_t k);
    void add_weights(const Pivot &p, const std::string &e, size_t k);
    void add_feature_weights(const Pivot &p, const std::set<std::string> &features, size_t k);
    void raise_pivot(const Pivot &p, const Expr &exponent, const std::set<std::string> &axes, size_t k, Weights &w);
    void add_moment(const Moment &m, size_t k);
    void start_ahead();
    void start_empty(const Moment &m, const std::string &name);
    void add_sum_ahead(const Moment &m);
    void add_row_moment(const Moment &m, size_t k);
    void add_feature_moment(const Moment &m, const std::string &name, const std::string &feature, const Expr &factor,
                            size_t k);
    void reduce_feature_moment(const Moment &m, const std::string &name, const std::set<std::string> &axes,
                               const Expr &factor, size_t k);
    std::string term_tile(const Moment &m, const Expr &elementwise, size_t k);
    std::string value_tile(const Moment &m, const std::string &feature, const std::vector<Expr> &factors, Type type);
    Type operand_type(const Moment &m, const std::string &feature, Type value_type) const;
    void update_reduced(const Moment &m, const std::string &name, const std::set<std::string> &axes, const Expr &term,
                        size_t k);
    Expr rescaled(const Moment &m, const std::string &name) const;
    Expr moved(const Moment &m, const Expr &old, const Expr &lower, const Expr &from, const Expr &to,
               const Expr &factor) const;
    /** What is carried of a selection: a list of one factor, of each rank. */
    struct KeptList {
        Expr factor;
        std::set<std::string> axes;
        Type type;
        std::vector<std::string> names;
    };
    struct Kept {
        const Selection *selection;
        std::vector<KeptList> lists;
        ReduceOp op() const {
            return selection->greatest ? ReduceOp::Max : ReduceOp::Min;
        }
    };
    std::vector<Kept> selected;
    void declare_kept(const Selection &s, int index);
    void add_selection(const Selection &s, int index);
    void insert(const Kept &kept, const std::vector<Expr> &element, int from, std::vector<TileOp> &ops);
    void merge_selections();
    const Moment &moment(const std::string &name) const;
    Mean &mean_of(const Moment &m);
    void save_means();
    void add_around(const Moment &m, size_t k);
    /** What the tile (or part) before is worth around another mean, \p apart away. */
    static Expr around_another(const Moment &m, const Expr &old, const Expr &first, const Expr &weight,
                               const Expr &apart);
    struct Move {
        std::string next, own, other;  // pivot, and the factors that move the two states to it
    };
    void merge_parts();
    std::vector<Move> merge_pivots();
    void merge_around(const std::vector<Move> &moves);
    std::string lower_degree(const Moment &m) const;
    std::set<std::string> features_in(const Expr &e) const;
    std::set<std::string> features_of(const Moment &m) const;
    bool feeds_narrow_operand(size_t pivot) const;
    [[noreturn]] void refuse(const Moment &m, const std::string &reason) const;

public:
    PassBuilder(TileBuilder &builder, size_t index)
        : b(builder), plan(builder.plan.passes[index]), first_pivot(count_before(index, &Pass::pivots)),
          first_moment(count_before(index, &Pass::moments)), query(builder.program.query.name),
          stream(builder.program.stream.name) {
    }

    template<typename T>
    size_t count_before(size_t index, std::vector<T> Pass::*list) const {
        size_t count = 0;
        for (size_t i = 0; i < index; i++) {
            count += (b.plan.passes[i].*list).size();
        }
        return count;
    }

    void build();
};

}  // namespace strobe

#endif
