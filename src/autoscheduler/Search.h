#ifndef STROBE_AUTOSCHEDULER_SEARCH_H
#define STROBE_AUTOSCHEDULER_SEARCH_H

/** \file
 * The automatic scheduler: enumerates legal choices, predicts each, and writes the
 * best as an ordinary schedule. It produces no tiles and no code, so that whatever
 * it finds could have been written by hand, and can be edited by hand. */

#include "CostModel.h"

namespace strobe {

struct Candidate {
    Choices choices;
    Estimate estimate;
};

/** Candidates that were not legal, grouped by what forbade them. */
struct Rejection {
    std::string kind;     // the directive that would have to change
    std::string reason;   // of the first of them
    std::string example;  // its tiles: "tile(i, 192) stream(j, 144)"
    int count = 0;
};

struct ScheduleChoice {
    Schedule schedule;
    Choices choices;  // what check_schedule makes of it
    Estimate estimate;
    std::vector<Candidate> ranked;  // all legal ones, the fastest first
    std::vector<Rejection> rejected;
    Shape shape;         // that the prediction is for
    bool given = false;  // some directives were given by hand

    /** Legal candidates predicted within this fraction of the best. */
    int within(double fraction) const;
};

/** Keeps every directive of \p given and chooses the others around them. Throws
 * UserError if \p given is illegal, or if nothing legal is left. */
ScheduleChoice autoschedule(const ReductionGraph &graph, const Plan &plan, const Capability &capability,
                            const Shape &shape = {}, const Schedule &given = {});

/** A schedule that is the fastest at a shape, but too little to be worth a kernel. */
struct GivenUp {
    Choices choices;
    int shape = 0;
    double gain = 0;  // over the one that serves the shape instead
};

/** Schedules for a package whose launcher picks among them by length. */
struct ScheduleSet {
    std::vector<Shape> shapes;                     // complete
    std::vector<ScheduleChoice> choices;           // the first serves the most shapes
    std::vector<std::vector<Estimate>> estimates;  // [choice][shape]
    std::vector<int> fastest;                      // for each shape, the choice that serves it
    std::vector<GivenUp> given_up;
    int fallback = -1;     // the choice for inputs whose elements cannot come as tiles; -1: none
    bool assumed = false;  // data or scalars say which tiles a mask visits, so there is one choice

    /** Predicted time at a shape under one choice, as a multiple of that of the fastest. */
    double slowdown(int choice, int shape) const;
};

/** The gain that is worth a second kernel: its compilation, and its bytes. */
constexpr double least_gain = 0.015;

/** The fewest schedules of which one is, at each of these shapes, within \p gain of
 * the fastest. A schedule given in full is the only one; so is, over all shapes the
 * fastest, that of a mask over data or with gaps, whose tiles are assumed. */
ScheduleSet autoschedule_shapes(const ReductionGraph &graph, const Plan &plan, const Capability &capability,
                                const std::vector<Shape> &shapes, const Schedule &given = {}, double gain = least_gain);

}  // namespace strobe

#endif
