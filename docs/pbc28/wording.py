"""The page's text: figures stand in braces and come from the evidence."""

RESULT = """
Three classifiers (`wide20`, 1.1 million weights each), each trained with the noise of its level on the training images
alone, certified on all {images} test images of PBC-28 (real blood cells, 8 classes), at most {n_max} noisy copies an
image:
"""

EVIDENCE = """
{passes} forward passes instead of the {fixed} that a fixed number of copies would have taken. The evidence is in
[examples/pbc28](examples/pbc28/README.md), with the memo, the notebook and the report that came of it; no image and no
torch is needed to check it:

```sh
smoothcert verify examples/pbc28
smoothcert table  examples/pbc28
```

What each noise level costs, which classes lose most, where the copies went and what an ordinary classifier shows
instead: [docs/pbc28.md](docs/pbc28.md).

### What the table says, row by row

* **sigma 0.5, k 1, r 0.5: {main}.** For {certified} of the {images} images the *smoothed* classifier at noise 0.5
  returned the reference label, and the votes bound its probabilities so far that it keeps it under every change of the
  image with L2 norm below 0.5. For any fixed image such a certificate is wrong with probability at most alpha = 0.001.
  The bracket is the exact 95 % interval of a count of {certified} in {images}.
* **sigma 0.5, k 1, r 1.0: {far}.** The same votes, a larger ball. What is certified at 1.0 is certified at 0.5 and 0.25
  too.
* **sigma 0.25, k 1, r 1.0: not attainable.** Even if all {n_max} copies agreed, no image could be certified beyond
  R_max = {limit}. This is a limit of the sampling budget, not a finding about the classifier, and it is not 0 %.
* **sigma 0.5, k 3, r 0.5: {three}.** The reference label stays among the three most probable classes. No image is
  "wrong" here, because the label itself is bounded, whatever the prediction.
* **sigma 1.0** pays with accuracy for radii beyond those asked here: at k = 1 its row lies below that of sigma 0.5
  throughout. Choosing the sigma after reading the table costs something; the column *joint* below has paid for it.
"""

HEAD = """
# What the reference run taught

<!-- written by python docs/pbc28/make.py from the evidence in examples/ -->

Real blood cells, a small classifier for each noise level, every step from training to memo with the commands of this
package. The evidence is in [examples/pbc28](../examples/pbc28/README.md); `smoothcert verify examples/pbc28` checks
every bound and decision in seconds, without images, weights or torch.

## The result

![Certified accuracy against L2 radius, k = 1, three noise levels](../examples/pbc28/results/figures/curve_k1.png)
"""

BEYOND = """
{images} images at three noise levels took {passes} forward passes, {fewer} times fewer than the {fixed} of a fixed
number of copies at the same guarantee, in {hours} hours on one to two CPU cores that other work shared (bf16, {rate}
copies a second on the mean). It was interrupted and resumed {resumes} times. Once about 2,700 results were lost with
the machine that had drawn them, some already looked at; they were drawn again from the same seed, and so with the same
noise. *Population*
is a lower bound on the robust fraction of the population, with 95 % confidence over images and noise, if these images
are independent draws from it; *joint* holds for all rows at once, and is the one to quote when the row was chosen after
the table was seen. Nothing
is known about which images come from the same patient, so independence is an assumption here.
"""

COST = """
## What each sigma costs

More noise certifies larger radii and sees less. Up to r = 1.0 and at k = 1, sigma 0.5 certifies more images than
sigma 1.0 at every radius; only what lies beyond could make up for the accuracy that sigma 1.0 costs. *Unsmoothed* is
the network of that row on the images as they are, which is not what is certified, *smoothed* the share of images for
which any radius above 0 is certified (at least: sampling stops once the radii of the run are decided).

"""

CLASSES = """
## Which classes lose most

At {place} the classes certified least are {worst}; most, {best}. A single figure for all classes hides this, and a
memo that states only the overall figure says too little to whoever looks for one of the former. So the memo, the
report and the notebook show classes.
"""

BUDGET = """
## Where the budget went

![How many noisy copies the images took, by noise level](../examples/pbc28/results/figures/samples.png)

An image takes the more copies the closer its margin lies to one of the radii, where more copies can still change the
answer. Those that took all the copies they may take are few, and had a large part of the work:

"""

ALONE = """
One cell can cost more than all others together: near R_max even unanimous votes must be many, for every image. The
mean copies an image that each cell alone would have taken, from the stored looks (- where it is not attainable):

"""

AGREE = """
## Does stopping early change the answer?

The first {images} images once more at sigma {sigma}, same weights, with a fixed number of copies: {late} an image
instead of {early} on the mean ({fewer} times as many). Of {decisions} decisions {alike} are the same. The two runs drew
different noise, so that an image near a radius may fall on either side in either; that is no sign of an error in one.
"""

SECOND = """
*Looks alone*: certified by the run that stops early and not by the fixed one. For any fixed image either procedure
returns a wrong certificate with probability at most alpha = 0.001, over its own noise.
"""

DIFFER = """
Where they differ, the radii lie close to r on either side. The looks share alpha among them, so that from the same
votes the last of them gives a slightly smaller radius than the fixed run:

"""

WITHOUT = """
## A classifier that never saw noise

A ResNet-20 trained on the same images without noise, {clean} right on the first {images} test images as they are. Under
noise it knows one or two answers only. What won the selection votes of how many images:

"""

BLIND = """
Certified like the others:

"""

MEMO = """
A constant answer is robust, and right wherever the label happens to agree with it: at sigma 0.5 and 1.0 and k = 1 every
certificate is of the one class that it names, and no radius takes it away. So look at the classes before believing a
single figure. Certification says next to nothing for an ordinary accurate classifier; this is neither an error of the
method nor a statement about other changes of the image. Train with the noise you certify with ([train.md](train.md)).

## What the memo may say, and what it may not

* It may say for which share of *these images*, and with 95 % confidence of the population they stand for, no change
  with an L2 norm below r changes the answer *of the smoothed classifier*, with the abstentions in the denominator.
* It may not say that the network without noise is robust, that a rotation, a stain, another scanner or another
  laboratory is covered, or that an answer is medically right: a certificate is about constancy, and its label is the
  reference label of the data set.
* It may not carry a population bound over to patients: PBC-28 has no patient identifiers.
* It may not say 0 % where a radius is not attainable: at sigma 0.25 no vote at n = 100,000 reaches r = 1.0 for k = 1.
* The weights, settings and acceptance criteria were fixed before the first of these images was sampled; they were
  chosen on images held out of the training images. Of these images the first 400 had been certified before, with
  earlier weights. This page's comparisons were made afterwards and promise nothing.
"""
