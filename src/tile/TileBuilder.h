#ifndef STROBE_TILE_TILE_BUILDER_H
#define STROBE_TILE_TILE_BUILDER_H

/** \file
 * What the parts of build_tiles share: the program so far, names, tile shapes,
 * loads that are made once, and the pass being filled. */

#include "SplitProduct.h"
#include "TileProgram.h"
#include "derivation/Plan.h"
#include "schedule/Schedule.h"

#include <map>
#include <optional>
#include <set>

namespace strobe {

class TileBuilder {
public:
    const ReductionGraph &graph;
    const Plan &plan;
    const Choices &choices;
    TileProgram program;
    /** What stands for pivots and moments that have no tile value of their name:
     * constants; one of several tiles, by the coordinate of a small feature axis. */
    std::map<std::string, Expr> computed_otherwise;

    /** The pass being filled needs every tile up to its end: something carries a sum along. */
    bool walks_all = false;

    TileBuilder(const std::string &name, const ReductionGraph &graph, const Plan &plan, const Choices &choices,
                const std::map<std::string, int> &sizes);

    /** \p base, with a number behind it if it is taken. */
    std::string unique(const std::string &base);
    /** Declares a value with the given axes, rows first; its place follows from them. */
    std::string declare(const std::string &name, Halide::Type type, const std::set<std::string> &axes);
    /** The Variable that stands for a declared value. */
    Expr ref(const std::string &name) const;

    /** The axes that an Expr depends on, through tile values too. */
    std::set<std::string> axes_in(const Expr &e) const;
    /** The axes among these that are dimensions of tiles: all but the grid's. */
    std::set<std::string> tile_axes_in(const Expr &e) const;
    /** \p e with what has no tile value of its name replaced. */
    Expr with_values(const Expr &e) const;
    bool is_feature(const std::string &axis) const;
    /** Makes a feature axis one of the program's columns. */
    void add_column(const std::string &axis);
    /** The constant size of a feature or inner axis. */
    int size_of(const std::string &axis) const;

    void begin_pass();
    void end_pass();
    /** The pass being filled. */
    StreamPass &pass() {
        return program.passes.back();
    }
    /** Appends to the walk's step. */
    void step(const TileOp &op) {
        pass().step.push_back(op);
    }
    /** Appends to the walk's step if the destination has the stream among its axes, else
     * to what is done before the walk. */
    void emit(const TileOp &op);
    /** The tile of an input with these axes, loaded once: before the walk when it is
     * free of the stream, else at the head of its step. */
    std::string load(const Halide::Internal::Call *call);
    /** The tile with the values of \p value over these axes, an operand of contractions;
     * computed once: before the walk when it is free of the stream, else in its step. */
    std::string computed_tile(const std::string &name, const Expr &value, const std::set<std::string> &axes);
    /** Computes the inner reductions that e refers to. */
    void compute_inner(const Expr &e);

    /** The operand type that the schedule asks for under one of these names, else own. */
    Halide::Type operand_type(const std::vector<std::string> &names, Halide::Type own) const;

private:
    struct LoadedTile {
        Expr call;
        std::string name;
        bool in_stream;
    };
    const std::map<std::string, int> &sizes;
    std::set<std::string> names;
    std::vector<LoadedTile> tiles;   // every tile declared so far
    std::set<std::string> loaded;    // those that hold their data now
    std::vector<TileOp> step_loads;  // of this pass
    std::set<std::string> computed;  // inner reductions that hold their value now
    struct ComputedTile {
        Expr value;
        std::set<std::string> axes;
        std::string name;
        bool in_stream, current;
    };
    std::vector<ComputedTile> operands;

    TileDim dim(const std::string &axis);
};

TileOp map_op(const std::string &dst, const Expr &e, TileOp::When when = TileOp::When::Always);
TileOp fill_op(const std::string &dst, const Expr &e);
TileOp reduce_op(const std::string &dst, ReduceOp op, const std::string &axis, const Expr &e);
TileOp contract_op(const std::string &dst, const std::string &axis, const std::string &a, const std::string &b,
                   Halide::Type operand_type, bool accumulate);
TileOp store_op(const Output &output);

}  // namespace strobe

#endif
