#ifndef STROBE_AUTOSCHEDULER_COST_MODEL_H
#define STROBE_AUTOSCHEDULER_COST_MODEL_H

/** \file
 * Predicts the time of a plan under some choices. Analytic: clocks that one tile
 * takes on each unit of a multiprocessor, how well these overlap, how many tiles
 * there are, and how evenly the blocks fill the machine. The constants that are
 * measured rather than counted are at the head of CostModel.cpp. */

#include "CountOps.h"
#include "TileVisits.h"
#include "schedule/Footprint.h"

namespace strobe {

/** One pass' clocks for one tile of the stream, by unit. */
struct TileCost {
    double tensor = 0, special = 0, issue = 0, copies = 0;
    double arrival = 0;        // from one tile to the next, of the copies and what hides their latency
    double step = 0;           // once a tile: barriers and waits
    double handover = 0;       // of each turn on the matrix unit
    double loads = 0;          // GPU: of elements that threads read for themselves
    double partial_issue = 0;  // the mask's, in a partial tile
    double total = 0;          // after overlap, averaged over full and partial tiles, if all warpgroups have a part
};

struct Estimate {
    std::vector<TileCost> passes;
    std::vector<TileVisits> visits;
    Footprint footprint;
    double block_clocks = 0;  // of an average block
    double clocks = 0;        // of the whole launch
    double milliseconds = 0;
    double balance = 1;  // share of the time in which all multiprocessors work
    std::string bound;   // the unit that is busy longest: "tensor", ...
};

class CostModel {
    const ReductionGraph &graph;
    const Plan &plan;
    const Capability &machine;
    const Shape shape;
    const Workload work;
    std::vector<OpCounts> ops, mask_ops;
    mutable std::map<std::vector<int>, std::vector<TileVisits>> visits;

    const std::vector<TileVisits> &visits_of(const Choices &c) const;
    TileCost gpu_tile(size_t pass, const Choices &c, double partial) const;
    double gpu_clocks(const TileCost &t, const Choices &c, double partial, int groups) const;
    double lone_clocks(const TileCost &t, const TileVisits &v, const Choices &c) const;
    double pass_clocks(const TileCost &t, const TileVisits &v, const Choices &c, const Footprint &f) const;
    TileCost cpu_tile(size_t pass, const Choices &c, double partial) const;
    double exchange_clocks(const Choices &c) const;
    void add_contraction(const Contraction &k, const Choices &c, TileCost &cost) const;
    void add_launch(Estimate &e, const Choices &c) const;

public:
    /** \p shape must be complete. */
    CostModel(const ReductionGraph &graph, const Plan &plan, const Capability &machine, const Shape &shape);

    Estimate estimate(const Choices &choices) const;
    const Workload &workload() const {
        return work;
    }
    const OpCounts &ops_of(size_t pass) const {
        return ops[pass];
    }
};

}  // namespace strobe

#endif
