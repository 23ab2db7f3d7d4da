"""Publications to cite, as BibTeX."""

import re

AUCLI = """@software{{aucli,
  title = {{aucli: facial Action Unit intensities from videos}},
  author = {{{{The aucli authors}}}},
  version = {{{version}}}
}}"""

FACS = """@book{facs2002,
  title = {Facial Action Coding System: The Manual},
  author = {Ekman, Paul and Friesen, Wallace V. and Hager, Joseph C.},
  publisher = {Research Nexus},
  address = {Salt Lake City},
  year = {2002}
}"""

ICT_FACEKIT = """@inproceedings{li2020ict,
  title = {Learning Formation of Physically-Based Face Attributes},
  author = {Li, Ruilong and Bladin, Karl and Zhao, Yajie and Chinara, Chinmay and Ingraham, Owen and
            Xiang, Pengda and Ren, Xinglei and Prasad, Pratusha and Kishore, Bipin and Xing, Jun and
            Li, Hao},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2020}
}"""

MAKEHUMAN = """@misc{makehuman,
  title = {MakeHuman: assets of the core system},
  author = {{The MakeHuman community}},
  howpublished = {\\url{http://www.makehumancommunity.org}},
  note = {Public domain (CC0 1.0)}
}"""

# By the number of the paper on arXiv, which the manifest of published weights names.
BY_ARXIV = {
    "1805.03487": """@inproceedings{sanchez2018joint,
  title = {Joint Action Unit localisation and intensity estimation through heatmap regression},
  author = {S{\\'a}nchez-Lozano, Enrique and Tzimiropoulos, Georgios and Valstar, Michel},
  booktitle = {British Machine Vision Conference},
  year = {2018},
  eprint = {1805.03487},
  archivePrefix = {arXiv}
}""",
    "2004.06657": """@article{ntinou2021transfer,
  title = {A Transfer Learning approach to Heatmap Regression for Action Unit intensity estimation},
  author = {Ntinou, Ioanna and S{\\'a}nchez, Enrique and Bulat, Adrian and Valstar, Michel and
            Tzimiropoulos, Georgios},
  journal = {IEEE Transactions on Affective Computing},
  year = {2021},
  eprint = {2004.06657},
  archivePrefix = {arXiv}
}""",
    "2004.09681": """@inproceedings{fan2020semantic,
  title = {Facial Action Unit Intensity Estimation via Semantic Correspondence Learning with Dynamic
           Graph Convolution},
  author = {Fan, Yingruo and Lam, Jacqueline C. K. and Li, Victor O. K.},
  booktitle = {AAAI Conference on Artificial Intelligence},
  year = {2020},
  eprint = {2004.09681},
  archivePrefix = {arXiv}
}""",
    "1905.00641": """@inproceedings{deng2020retinaface,
  title = {RetinaFace: Single-shot Multi-level Face Localisation in the Wild},
  author = {Deng, Jiankang and Guo, Jia and Ververas, Evangelos and Kotsia, Irene and
            Zafeiriou, Stefanos},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2020},
  eprint = {1905.00641},
  archivePrefix = {arXiv}
}""",
    "1703.07332": """@inproceedings{bulat2017far,
  title = {How far are we from solving the 2D \\& 3D Face Alignment problem?},
  author = {Bulat, Adrian and Tzimiropoulos, Georgios},
  booktitle = {IEEE International Conference on Computer Vision},
  year = {2017},
  eprint = {1703.07332},
  archivePrefix = {arXiv}
}""",
}
SCC = BY_ARXIV["2004.09681"]  # the graph convolution of our own networks
HEATMAPS = BY_ARXIV["1805.03487"]  # peaks that carry place and intensity


def of_paper(paper: str) -> str:
    """The BibTeX of a paper as the manifest of published weights names it; '' for another one."""
    match = re.search(r"arXiv (\d{4}\.\d{5})", paper)
    return BY_ARXIV.get(match[1], "") if match else ""
