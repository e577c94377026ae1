"""The page's text: figures stand in braces and come from the evidence."""

RESULT = """
Three classifiers (`wide20`, 1.1 million weights each), each trained with the noise of its level on 13,074 images,
certified on all {images} test images of PBC-28 (real blood cells, 8 classes), at most {n_max} noisy copies an image:
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
* **sigma 1.0** pays for its larger radii with accuracy: its row at r = 0.25 is below that of sigma 0.25. Choosing the
  sigma after reading the table costs something; the column *joint* below has paid for it.
"""

HEAD = """
# What the reference run taught

<!-- written by python docs/pbc28/make.py from the evidence in examples/ -->

Real blood cells, a small classifier for each noise level, every step from training to memo with the commands of this
package. The evidence is in [examples/pbc28](../examples/pbc28/README.md); `smoothcert verify examples/pbc28` checks
every bound and decision in seconds, without images, weights or torch.

## The result
"""

BEYOND = """
{images} images at three noise levels took {passes} forward passes, {fewer} times fewer than the {fixed} of a fixed
number of copies at the same guarantee, in {hours} hours on one to two CPU cores that other work shared (bf16, {rate}
copies a second on the mean). *Population*
is a lower bound on the robust fraction of the population, with 95 % confidence over images and noise, if these images
are independent draws from it; *joint* holds for all rows at once, and is the one to quote when the row was chosen after
the table was seen. Nothing
is known about which images come from the same patient, so independence is an assumption here.
"""

COST = """
## What each sigma costs

More noise certifies larger radii and sees less. *Unsmoothed* is the network of that row on the images as they are,
which is not what is certified, *smoothed* the share of images for which any radius above 0 is certified (at least:
sampling stops once the radii of the run are decided).

"""

CLASSES = """
## Which classes lose most

At {place} the classes certified least are {worst}; most, {best}. A single figure for all classes hides this, and a
memo that states only the overall figure says too little to whoever looks for one of the former. So the memo, the
report and the notebook show classes.
"""

BUDGET = """
## Where the budget went

A few images take most of the work: those whose margin lies close to one of the radii, at which more copies can still
change the answer.

"""

ALONE = """
One cell can cost more than all others together. The mean copies an image that each cell alone would have taken, from
the stored looks (- where it is not attainable):

"""

AGREE = """
## Does stopping early change the answer?

The first {images} images once more at sigma {sigma}, same weights, with a fixed number of copies: {late} an image
instead of {early} on the mean ({fewer} times as many). Of {decisions} decisions {same} % are the same; {apart}
differ. The two runs drew different noise, so that an image near a radius may fall on either side in either; neither
answer is wrong.
"""

SECOND = """
*Looks alone*: certified by the run that stops early and not by the fixed one. For any fixed image either procedure
returns a wrong certificate with probability at most alpha = 0.001, over its own noise.
"""

WITHOUT = """
## A classifier that never saw noise

A ResNet-20 trained on the same images without noise, {clean} right on the first {images} test images as they are,
then certified like the others:
"""

MEMO = """
This is what certification says of an ordinary accurate classifier: next to nothing. It is neither an error of the
method nor a statement that the classifier is fragile under other changes. Train with the noise you certify with
([train.md](train.md)).

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
